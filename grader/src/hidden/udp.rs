//! Robust and bonus checks of the lab `udp`.

use crate::check;
use crate::check::Check;

mod client;
mod server;

/// The rubric, in teaching order.
pub const CHECKS: &[Check] = &[
    check!(
        server::announces_the_port_it_got,
        "udp.0",
        Robust,
        2,
        ["udp-server"],
        "Does the server say at once which port it got for --port 0?"
    )
    .handout("What your programs must do"),
    check!(
        client::refuses_malformed_options,
        "udp.0",
        Robust,
        2,
        ["udp-server", "udp-client"],
        "Are malformed options refused before anything is sent?"
    )
    .after("client_prints_the_answer")
    .handout("What your programs must do"),
    check!(
        client::reports_a_failed_write,
        "udp.0",
        Robust,
        2,
        ["udp-server", "udp-client"],
        "Do the programs notice that their output cannot be written?"
    )
    .handout("What your programs must do"),
    check!(
        server::server_waits_without_spinning,
        "udp.0",
        Robust,
        1,
        ["udp-server"],
        "Does the server wait without using processor time?"
    )
    .recorder()
    .after("server_answers_the_next_number")
    .handout("What your programs must do"),
    check!(
        client::client_waits_without_spinning,
        "udp.0",
        Robust,
        1,
        ["udp-client"],
        "Does the client wait without using processor time, and only until the answer comes?"
    )
    .long()
    .recorder()
    .after("client_prints_the_answer")
    .handout("What your programs must do"),
    check!(
        server::ends_on_a_signal,
        "udp.0",
        Robust,
        2,
        ["udp-server"],
        "Does the server end within a second of SIGTERM and SIGINT?"
    )
    .handout("What your programs must do"),
    check!(
        server::server_passes_over_an_empty_datagram,
        "udp.6",
        Robust,
        3,
        ["udp-server"],
        "Does an empty datagram leave the server as it was?"
    )
    .after("server_answers_the_next_number")
    .handout("A datagram stands alone"),
    check!(
        server::server_passes_over_wrong_sizes,
        "udp.6",
        Robust,
        3,
        ["udp-server"],
        "Does the server pass over datagrams that are too short or too long?"
    )
    .after("server_answers_the_next_number")
    .handout("Datagrams from anybody"),
    check!(
        server::counts_only_answers,
        "udp.6",
        Robust,
        3,
        ["udp-server"],
        "Does the server count only the requests that it answered?"
    )
    .after("server_answers_the_next_number")
    .handout("Datagrams from anybody"),
    check!(
        server::wraps_after_the_highest_number,
        "udp.7",
        Robust,
        4,
        ["udp-server"],
        "Is 32767 answered with -32768?"
    )
    .after("server_answers_the_next_number")
    .handout("Numbers on the wire"),
    check!(
        server::answers_each_client_its_own,
        "udp.8",
        Robust,
        4,
        ["udp-server"],
        "Does each of several clients get its own answer?"
    )
    .after("server_answers_the_next_number")
    .handout("Datagrams from anybody"),
    check!(
        client::asks_again_when_nothing_comes,
        "udp.9",
        Robust,
        4,
        ["udp-client"],
        "Does the client ask again in time, exactly as often as it may, and then give up?"
    )
    .long()
    .recorder()
    .after("client_asks_with_two_bytes")
    .handout("When nothing comes back"),
    check!(
        client::waits_on_after_junk,
        "udp.9",
        Robust,
        2,
        ["udp-client"],
        "Does the client go on waiting when junk comes, and then ask again?"
    )
    .long()
    .recorder()
    .after("asks_again_when_nothing_comes")
    .handout("When nothing comes back"),
    check!(
        client::survives_a_lost_request,
        "udp.10",
        Robust,
        4,
        ["udp-client"],
        "Does the client get its answer when the first request or answer is lost?"
    )
    .long()
    .after("client_prints_the_answer")
    .handout("When nothing comes back"),
    check!(
        client::client_passes_over_strangers,
        "udp.11",
        Robust,
        3,
        ["udp-client"],
        "Does the client pass over datagrams from anybody but the server it asked?"
    )
    .after("client_prints_the_answer")
    .handout("Datagrams from anybody"),
    check!(
        client::client_passes_over_wrong_sizes,
        "udp.11",
        Robust,
        2,
        ["udp-client"],
        "Does the client pass over answers that are not two bytes long?"
    )
    .after("client_prints_the_answer")
    .handout("Datagrams from anybody"),
    check!(
        server::names_the_port_in_use,
        "udp.12",
        Robust,
        3,
        ["udp-server"],
        "Does a second server on the same port say what is in its way?"
    )
    .handout("Errors that name the address"),
    check!(
        client::gives_up_where_nobody_listens,
        "udp.12",
        Robust,
        2,
        ["udp-client"],
        "Does the client end with a message where nobody listens?"
    )
    .handout("When nothing comes back"),
    check!(
        client::refuses_a_value_too_large,
        "udp.13",
        Robust,
        1,
        ["udp-client"],
        "Is a value refused that two bytes cannot hold?"
    )
    .handout("Numbers on the wire"),
    check!(server::serves_ipv6, "udp.14", Bonus, 3, ["udp-server"], "Does the server serve IPv6?")
        .handout("IPv6 and names"),
    check!(
        server::server_tries_each_address,
        "udp.14",
        Bonus,
        2,
        ["udp-server"],
        "Does the server try each address of a name?"
    )
    .handout("IPv6 and names"),
    check!(client::asks_by_ipv6, "udp.14", Bonus, 3, ["udp-client"], "Does the client ask by IPv6?")
        .handout("IPv6 and names"),
    check!(
        client::tries_each_address,
        "udp.14",
        Bonus,
        4,
        ["udp-client"],
        "Does the client try each address of a name?"
    )
    .handout("IPv6 and names"),
    check!(
        client::survives_stop_and_continue,
        "udp.15",
        Bonus,
        4,
        ["udp-client"],
        "Does a client that was stopped and continued still get its answer?"
    )
    .recorder()
    .after("client_prints_the_answer")
    .handout("Signals"),
];
