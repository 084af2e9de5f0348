"""The pages that people leave open: views of a migration, live, each with its charts.

A view says what it shows (`view.View`); a process of its own reads the store and renders it
(`worker`, `rendering`), so that no page can slow a claim or a flag; `live` tells every open page
what changed.
"""
