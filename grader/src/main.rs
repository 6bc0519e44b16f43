//! The grader's executable. `cargo xtask` is the same with the project's own commands beside it.

use std::process::ExitCode;

fn main() -> ExitCode {
    if let Some(code) = grader::fork_server::become_fork_server_if_asked() {
        return code;
    }
    grader::child::end_all_on_signals();
    let code = grader::cli::main();
    grader::child::end_fork_server();
    code
}
