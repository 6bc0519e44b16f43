//! What may run at once in this process: all subjects share these lanes, so that a whole class, or every mutant of every
//! lab, is graded at the machine's pace and no faster.
//!
//! Checks mostly wait, so many run at once; but how many that are tells the machine, not a number: beyond a few, a check
//! starts only while few processes queue for a processor, whoever they belong to. A check that is asked again, because it
//! broke down, has a lane in which little else runs. Each lane is a queue, and only the heads of the queues are ever woken.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

/// How many checks run at once on each processor at most: beyond this they only get in each other's way.
const CHECKS_PER_CORE: usize = 16;
/// How many checks run on each processor however busy the machine is.
const CHECKS_PER_BUSY_CORE: usize = 4;
/// How many processes may queue for each processor when another check is started.
const QUEUE_PER_CORE: usize = 3;
/// How often a head waits before it looks at the machine again.
const LOOK_AGAIN: Duration = Duration::from_millis(10);
/// How long a quiet check waits for the rest of the machine to become quiet.
const PATIENCE: Duration = Duration::from_secs(5);

static LANES: OnceLock<Lanes> = OnceLock::new();

/// Sets how many checks run at once; before the first subject is asked.
pub fn limit_checks(jobs: usize) {
    let _ = LANES.set(Lanes { most: jobs.max(1), state: Mutex::default() });
}

/// Waits for a place in a lane.
pub fn enter(lane: Lane) -> Place {
    let lanes = LANES.get_or_init(|| Lanes { most: cores() * CHECKS_PER_CORE, state: Mutex::default() });
    lanes.enter(lane)
}

fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// One kind of work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lane {
    /// Compiles a program: never waits, so there is one for each processor.
    Compile,
    /// Asks a check that mostly waits: while it does, others can be asked.
    Long,
    /// Asks a check.
    Checks,
    /// Asks a check again.
    Quiet,
}

/// A place in a lane, given back when it is dropped.
pub struct Place {
    lanes: &'static Lanes,
    lane: Lane,
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut state = self.lanes.state();
        state.running[self.lane as usize] -= 1;
        state.wake_heads();
    }
}

struct Lanes {
    most: usize,
    state: Mutex<State>,
}

/// Counts and queues, by [`Lane`].
#[derive(Default)]
struct State {
    running: [usize; 4],
    queues: [VecDeque<Arc<Condvar>>; 4],
}

impl State {
    fn wake_heads(&self) {
        self.queues.iter().filter_map(VecDeque::front).for_each(|head| head.notify_one());
    }

    fn running(&self, lane: Lane) -> usize {
        self.running[lane as usize]
    }

    /// How many checks run outside the quiet lane.
    fn checks(&self) -> usize {
        self.running(Lane::Long) + self.running(Lane::Checks)
    }

    fn waits(&self, lane: Lane) -> bool {
        !self.queues[lane as usize].is_empty()
    }
}

impl Lanes {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn enter(&'static self, lane: Lane) -> Place {
        let turn = Arc::new(Condvar::new());
        let start = Instant::now();
        let mut state = self.state();
        state.queues[lane as usize].push_back(Arc::clone(&turn));
        loop {
            let is_head = state.queues[lane as usize].front().is_some_and(|head| Arc::ptr_eq(head, &turn));
            if is_head && self.is_free(&state, lane, start) {
                break;
            }
            state = if is_head {
                turn.wait_timeout(state, LOOK_AGAIN).unwrap_or_else(PoisonError::into_inner).0
            } else {
                turn.wait(state).unwrap_or_else(PoisonError::into_inner)
            };
        }
        state.queues[lane as usize].pop_front();
        state.running[lane as usize] += 1;
        state.wake_heads();
        Place { lanes: self, lane }
    }

    /// Whether the head of a lane may go. Long checks go first; quiet ones start when little else runs, and hold it back
    /// then.
    fn is_free(&self, state: &State, lane: Lane, since: Instant) -> bool {
        let cores = cores();
        let quiet = state.running(Lane::Quiet);
        match lane {
            Lane::Compile => state.running(Lane::Compile) < cores && quiet == 0,
            Lane::Checks if state.waits(Lane::Long) => false,
            Lane::Checks | Lane::Long => {
                let running = state.checks();
                let always = self.most.min(if quiet > 0 { cores } else { cores * CHECKS_PER_BUSY_CORE });
                running < always || (running < self.most && quiet == 0 && queue_is_short())
            }
            Lane::Quiet => {
                let others_wait =
                    [Lane::Compile, Lane::Long, Lane::Checks].into_iter().any(|lane| state.waits(lane));
                let alone = !others_wait && state.running(Lane::Compile) == 0 && state.checks() <= cores;
                let calm = since.elapsed() > PATIENCE || queue_is_short();
                quiet < cores.min(self.most) && (quiet > 0 || alone) && calm
            }
        }
    }
}

/// Whether few processes queue for a processor on this machine. Where it does not say, they do.
fn queue_is_short() -> bool {
    let Ok(text) = std::fs::read_to_string("/proc/loadavg") else { return true };
    // The fourth field counts the processes that run or want to, this one among them.
    let runnable =
        text.split_whitespace().nth(3).and_then(|field| field.split('/').next()?.parse::<usize>().ok());
    let online = nix::unistd::sysconf(nix::unistd::SysconfVar::_NPROCESSORS_ONLN).ok().flatten();
    let online = online.and_then(|count| usize::try_from(count).ok()).unwrap_or_else(cores);
    runnable.is_none_or(|runnable| runnable <= 1 + online * QUEUE_PER_CORE)
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::{Lane, Lanes};

    #[test]
    fn no_more_than_the_most_run_at_once_and_all_get_their_turn() {
        let lanes: &'static Lanes = Box::leak(Box::new(Lanes { most: 3, state: Mutex::default() }));
        let (running, peak, done) = (AtomicUsize::new(0), AtomicUsize::new(0), AtomicUsize::new(0));
        std::thread::scope(|scope| {
            for number in 0..200 {
                let (running, peak, done) = (&running, &peak, &done);
                scope.spawn(move || {
                    let lane = if number % 10 == 0 { Lane::Quiet } else { Lane::Checks };
                    let _place = lanes.enter(lane);
                    if lane == Lane::Checks {
                        peak.fetch_max(running.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                        std::thread::yield_now();
                        running.fetch_sub(1, Ordering::SeqCst);
                    }
                    done.fetch_add(1, Ordering::SeqCst);
                });
            }
        });
        assert_eq!(done.load(Ordering::SeqCst), 200);
        assert!(peak.load(Ordering::SeqCst) <= 3);
    }
}
