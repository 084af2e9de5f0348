"""Backups that were restored once before anyone relies on them.

    items      what is backed up: databases, folders, texts
    make       all items into one folder, which gets its name when everything is in it
    sqlite, postgres, folders   one kind of item each: save, try, restore
    manifest   what a backup says of itself
    check      is it good: checksums, and everything restored into a scratch place
    places     where backups are: a folder, or an address that they are copied to and from
    restore    one item back to where a person wants it
    from_plan  the items that a plan names
"""
