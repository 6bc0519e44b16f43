//! Names with several addresses, and servers for both families.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use crate::bench::{Bench, Stdin};
use crate::suites::tcp::conversation::{ENDS, PORT, is_served, receipt};
use crate::verdict::{Because, Stop};

pub fn clients_try_each_address(bench: &mut Bench) -> Result<(), Stop> {
    const EACH: &str =
        "a name may have several addresses: the client tries one after the other until one accepts";
    let four = |last| IpAddr::from(Ipv4Addr::new(127, 0, 0, last));
    let six = IpAddr::from(Ipv6Addr::LOCALHOST);
    // The resolver decides which one is first, so each of them is once the only one where somebody listens.
    for (name, addresses) in [("several.test", [four(2), four(3)]), ("both.test", [four(1), six])] {
        for listening in addresses {
            for program in ["tcp-client", "upload-client"] {
                let listener = bench.tcp_listen(SocketAddr::new(listening, PORT))?;
                let mut start =
                    bench.program(program).arguments(&["--host", name]).stdin(Stdin::Bytes(b"abc".to_vec()));
                for address in addresses {
                    start = start.named(address, name);
                }
                let mut client = start.start()?;
                let note = format!(
                    "{name} is {} and {}; a server listens on {listening}",
                    addresses[0], addresses[1]
                );
                let server = listener.accept().with(|unmet| unmet.note(note)).because(EACH)?;
                if program == "tcp-client" {
                    server.expect(b"Hello!").because(EACH)?;
                    server.send(b"Hi!").because(EACH)?;
                } else {
                    server.receive_to_end(100).because(EACH)?;
                    server.send(&receipt(b"abc")).because(EACH)?;
                }
                client.end().because(ENDS)?.expect_status(0).because(EACH)?;
            }
        }
    }
    Ok(())
}

pub fn servers_speak_both_families(bench: &mut Bench) -> Result<(), Stop> {
    const BOTH: &str = "a socket bound to :: serves IPv6, and IPv4 too unless IPV6_V6ONLY is set";
    bench.needs_ipv6()?;
    for program in ["tcp-server", "upload-server"] {
        let mut server = bench.tcp_server(program, &["--host", "::", "--count", "2"], PORT)?;
        for address in [IpAddr::from(Ipv6Addr::LOCALHOST), IpAddr::from(Ipv4Addr::LOCALHOST)] {
            let client = bench.tcp_connect(SocketAddr::new(address, PORT)).because(BOTH)?;
            is_served(&client, program, BOTH)?;
        }
        server.end().because(ENDS)?.expect_status(0).because(ENDS)?;

        let mut server = bench.tcp_server(program, &["--host", "::1", "--port", "0"], 0)?;
        server.expect_announced().because("an IPv6 address stands in brackets before its port")?;
    }
    Ok(())
}
