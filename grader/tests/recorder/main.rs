//! The recorder, tried on small C and Python programs in arenas of their own.

#[path = "../arena/mod.rs"]
mod arena;
mod captures;
mod ends;
mod idle;
mod injections;
mod races;
mod records;
mod scene;

use std::process::ExitCode;

fn main() -> ExitCode {
    let trials: Vec<arena::Trial> =
        [records::TRIALS, ends::TRIALS, injections::TRIALS, idle::TRIALS, races::TRIALS, captures::TRIALS]
            .concat();
    let Some(_programs) = scene::build_programs() else {
        println!("there is no C compiler (`cc`): the recorder is not tried");
        return ExitCode::SUCCESS;
    };
    arena::main_in(&[(arena::FULL, trials.leak()), (arena::EVERYWHERE, records::IN_EVERYWHERE)])
}
