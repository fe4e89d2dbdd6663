//! Turns the numbers of `sizing.toml` into constants, so that a key that is missing or misspelled does not
//! compile.

use std::error::Error;
use std::fmt::Write;
use std::path::Path;

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed=sizing.toml");
    let tables: toml::Table = std::fs::read_to_string("sizing.toml")?.parse()?;
    let mut code = String::new();
    for (table, keys) in &tables {
        writeln!(code, "/// Table `[{table}]`.\npub mod {table} {{")?;
        for (key, value) in keys.as_table().ok_or_else(|| format!("{table} is not a table"))? {
            let number = value.as_integer().ok_or_else(|| format!("{table}.{key} is not a whole number"))?;
            let constant = key.to_uppercase();
            writeln!(code, "    /// Key `{key}` of `[{table}]`.\n    pub const {constant}: u64 = {number};")?;
        }
        code.push_str("}\n");
    }
    std::fs::write(Path::new(&std::env::var("OUT_DIR")?).join("sizing.rs"), code)?;
    Ok(())
}
