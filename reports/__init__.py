"""Reports of a cutover: HTML that stands alone, Markdown, JSON, and the tables of the Prefect UI.

`evidence` reads the store and is the only module here that does; it makes the values of `model`.
`render` turns them into files; `tables` makes the short Markdown shown while a cutover runs.
Nothing here judges: verdicts and decisions are shown as they were stored.
"""
