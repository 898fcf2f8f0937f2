//! Rebuilds a release when the console was built anew, because its files are embedded then. A development build reads
//! them from the folder as it runs, so there is nothing to watch; but where that is, it finds out as it is compiled.

use std::{env, fs};

const CONSOLE: &str = "../../web-console/dist";

fn main() {
    let release = env::var_os("PROFILE").is_some_and(|profile| profile == "release");
    // Without the folder, a development build would not find a console that is built later.
    if let Err(error) = fs::create_dir_all(CONSOLE) {
        tell_cargo("warning", &format!("{CONSOLE} cannot be created, so there will be no console: {error}"));
    }
    tell_cargo("rerun-if-changed", if release { CONSOLE } else { "build.rs" });
}

#[allow(clippy::print_stdout, reason = "this is how a build script speaks to cargo")]
fn tell_cargo(instruction: &str, value: &str) {
    println!("cargo:{instruction}={value}");
}
