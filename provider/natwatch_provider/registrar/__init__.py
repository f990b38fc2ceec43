"""What the operator's registrar knows of a phone: asked on the provider's side, no password."""
