"""The one owner of the database: its schema, its migrations and its queries.

Every time in it is UTC, in seconds since 1970, as a float; every duration is in seconds.
"""
