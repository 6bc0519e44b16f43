//! The grader's executable. `cargo xtask` is the same with the project's own commands beside it.

use std::process::ExitCode;

fn main() -> ExitCode {
    if let Some(code) = grader::schedule::become_arena_if_asked() {
        return code;
    }
    grader::child::end_all_on_signals();
    grader::cli::main()
}
