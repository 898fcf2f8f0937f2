//! What it costs the decoder to make rows.
//!
//! `cargo run --release -p hexwatch-ingest --example decode_rate [-- ROWS]`

#![allow(clippy::print_stdout, clippy::unwrap_used, reason = "an example speaks to the terminal")]

mod load;

fn main() {
    let rows: usize = std::env::args().nth(1).map_or(2_000_000, |rows| rows.parse().unwrap());
    let bodies: Vec<String> = (0..4_096).map(load::body).collect();
    let bytes: usize = bodies.iter().map(String::len).sum();
    let decoded = load::decode(&bodies, rows);
    println!("{} rows, {} refused, {} bytes a record", decoded.rows, decoded.refused, bytes / bodies.len());
    println!("{:.3} CPU s a million", decoded.seconds / rows as f64 * 1e6);
}
