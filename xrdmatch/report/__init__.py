"""Results for people and programs: table, page, figures, JSON, CSV, files for refinement."""
