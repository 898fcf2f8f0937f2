//! Rebuilds a release when the console was built anew, because its files are embedded then. A development build reads
//! them from the folder as it runs, so there is nothing to watch.

use std::env;

fn main() {
    let release = env::var_os("PROFILE").is_some_and(|profile| profile == "release");
    // A folder that is missing counts as changed, so that a console which is built later is found.
    let watched = if release { "../../web-console/dist" } else { "build.rs" };
    tell_cargo("rerun-if-changed", watched);
}

#[allow(clippy::print_stdout, reason = "this is how a build script speaks to cargo")]
fn tell_cargo(instruction: &str, value: &str) {
    println!("cargo:{instruction}={value}");
}
