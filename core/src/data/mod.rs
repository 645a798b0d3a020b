//! Prompts from Parquet and JSON lines, seeded order, a cursor that can be saved.
