//! The `ister` program. All code is in the library.

fn main() -> std::process::ExitCode {
    ister::cli::main()
}
