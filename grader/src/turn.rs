//! Takes turns at the ports of a network that is shared. In tier C arenas have no network of their own: two checks at
//! once, of this grader or of two graders, would meet on one port, and a correct server would find it taken.
//!
//! The turn is an abstract Unix socket: its name is one in each network namespace, as ports are, and free again as soon as
//! its holder is gone.

use std::io::{ErrorKind, Read};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixListener, UnixStream};
use std::time::{Duration, Instant};

use crate::sandbox::Tier;
use crate::verdict::Breakdown;

const NAME: &str = "socklab-ports";
/// How long a turn is waited for: many graders may stand before this one.
const PATIENCE: Duration = Duration::from_secs(900);
/// How soon another look is taken at a holder that cannot be waited for: it is just taking its turn, or is no grader.
const LOOK_AGAIN: Duration = Duration::from_millis(10);

/// The ports are this arena's alone until it is dropped.
pub struct Turn {
    held: Option<UnixListener>,
}

impl Turn {
    /// What holds the turn: whoever waits for it connects to this. `None` where there is nothing to wait for.
    pub fn into_listener(self) -> Option<UnixListener> {
        self.held
    }
}

/// Waits for the ports that an arena of this tier shares; where it has its own there is nothing to wait for.
pub fn take(tier: Tier) -> Result<Turn, Breakdown> {
    match tier {
        Tier::A | Tier::B => Ok(Turn { held: None }),
        Tier::C => take_named(NAME, PATIENCE),
    }
}

fn take_named(name: &str, patience: Duration) -> Result<Turn, Breakdown> {
    let failed =
        |error: std::io::Error| Breakdown::system("cannot take a turn at this machine's ports", error);
    let address = SocketAddr::from_abstract_name(name).map_err(failed)?;
    let deadline = Instant::now() + patience;
    loop {
        match UnixListener::bind_addr(&address) {
            Ok(held) => return Ok(Turn { held: Some(held) }),
            Err(error) if error.kind() == ErrorKind::AddrInUse => {}
            Err(error) => return Err(failed(error)),
        }
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(Breakdown::new(
                format!("another grader has had this machine's ports for {} seconds", patience.as_secs()),
                "let it end, or end it, then grade again",
            ));
        }
        match UnixStream::connect_addr(&address) {
            Ok(mut holder) => {
                // Nobody accepts: the connection ends with the turn.
                let _ = holder.set_read_timeout(Some(left));
                let _ = holder.read(&mut [0]);
            }
            Err(_) => std::thread::park_timeout(LOOK_AGAIN.min(left)),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::channel;

    use super::*;

    #[test]
    fn second_waits_for_the_first() {
        let name = format!("socklab-turn-test-{}", std::process::id());
        let first = take_named(&name, PATIENCE).unwrap();
        let (tell, told) = channel();
        let waiting = {
            let name = name.clone();
            std::thread::spawn(move || tell.send(take_named(&name, PATIENCE).is_ok()))
        };
        let first = first.into_listener().unwrap();
        let waiter = first.accept().unwrap();
        assert!(told.try_recv().is_err(), "it is the first one's turn");
        drop((first, waiter));
        assert_eq!(told.recv(), Ok(true));
        waiting.join().unwrap().unwrap();
    }

    #[test]
    fn impatience_names_the_cause() {
        let name = format!("socklab-impatience-test-{}", std::process::id());
        let _first = take_named(&name, PATIENCE).unwrap();
        let Err(breakdown) = take_named(&name, Duration::from_millis(1)) else { panic!("it has the turn") };
        assert!(breakdown.what.contains("another grader"), "{breakdown:?}");
    }
}
