//! Robust and bonus checks of the lab `servers`.

mod children;
mod conventions;
pub mod economy;
mod ending;
mod stream;
mod trouble;

use crate::bench::Bench;
use crate::check;
use crate::check::{Check, Network};
use crate::verdict::Stop;

use children::{
    forking_closes_what_is_not_its_own, forking_leaves_no_zombies,
    forking_reaps_what_ended_while_it_was_stopped,
};
use conventions::{
    servers_announce_the_port_they_got, servers_bind_the_host_asked_for, servers_refuse_malformed_options,
    servers_say_why_they_cannot_listen,
};
use economy::{
    select_bounds_what_it_keeps_for_a_client, select_does_not_spin, select_serves_2000_clients,
    select_serves_a_slow_reader_to_the_end, threaded_lets_finished_threads_go,
};

/// The rubric, in teaching order.
pub const CHECKS: &[Check] = &[
    check!(
        servers_refuse_malformed_options,
        "servers.0",
        Robust,
        2,
        ["iterative-server", "forking-server", "threaded-server", "select-server"],
        "Are malformed options refused, and good ones taken?"
    )
    .handout("The contract"),
    check!(
        servers_announce_the_port_they_got,
        "servers.0",
        Robust,
        2,
        ["iterative-server", "forking-server", "threaded-server", "select-server"],
        "Does port 0 print the address at once?"
    )
    .recorder()
    .handout("The contract"),
    check!(
        servers_bind_the_host_asked_for,
        "servers.0",
        Robust,
        1,
        ["iterative-server", "forking-server", "threaded-server", "select-server"],
        "Is --host the address that is bound, and any interface without it?"
    )
    // With IPv6 on a link: where there is none, resolvers that are asked for what the host can use know no ::1.
    .network(Network::ForkV6)
    .handout("The contract"),
    check!(
        servers_say_why_they_cannot_listen,
        "servers.0",
        Robust,
        1,
        ["iterative-server", "forking-server", "threaded-server", "select-server"],
        "Does a server that cannot listen say where and why?"
    )
    .handout("The contract"),
    check!(
        iterative_takes_the_stream_as_it_comes,
        "servers.6",
        Robust,
        1,
        ["iterative-server"],
        "Does the iterative server take pieces, many lines at once and a half-close?"
    )
    .after("iterative_speaks_the_protocol")
    .handout("The contract"),
    check!(
        forking_takes_the_stream_as_it_comes,
        "servers.6",
        Robust,
        1,
        ["forking-server"],
        "Does the forking server take pieces, many lines at once and a half-close?"
    )
    .after("forking_speaks_the_protocol")
    .handout("The contract"),
    check!(
        threaded_takes_the_stream_as_it_comes,
        "servers.6",
        Robust,
        1,
        ["threaded-server"],
        "Does the threaded server take pieces, many lines at once and a half-close?"
    )
    .after("threaded_speaks_the_protocol")
    .handout("The contract"),
    check!(
        select_takes_the_stream_as_it_comes,
        "servers.6",
        Robust,
        1,
        ["select-server"],
        "Does the select server take pieces, many lines at once and a half-close?"
    )
    .after("select_speaks_the_protocol")
    .handout("The contract"),
    check!(
        forking_closes_what_is_not_its_own,
        "servers.7",
        Robust,
        3,
        ["forking-server"],
        "Does each process close the socket that is not its own?"
    )
    .after("forking_speaks_the_protocol")
    .handout("A process for each client"),
    check!(
        forking_leaves_no_zombies,
        "servers.7",
        Robust,
        3,
        ["forking-server"],
        "Are children that have ended waited for at once?"
    )
    .after("forking_speaks_the_protocol")
    .mistakes(&["never-waited"])
    .handout("A process for each client"),
    check!(
        forking_reaps_what_ended_while_it_was_stopped,
        "servers.7",
        Robust,
        3,
        ["forking-server"],
        "Are ten children reaped that have ended behind one signal?"
    )
    .after("forking_speaks_the_protocol")
    .handout("A process for each client"),
    check!(
        threaded_lets_finished_threads_go,
        "servers.8",
        Robust,
        3,
        ["threaded-server"],
        "Do finished threads go away, with their memory?"
    )
    .unrecorded()
    .after("threaded_speaks_the_protocol")
    .handout("A thread for each client"),
    check!(
        select_does_not_spin,
        "servers.9",
        Robust,
        3,
        ["select-server"],
        "Does it use no processor time while nothing is asked?"
    )
    .recorder()
    .after("select_speaks_the_protocol")
    .handout("One loop for all"),
    check!(
        select_bounds_what_it_keeps_for_a_client,
        "servers.9",
        Robust,
        3,
        ["select-server"],
        "Is little kept for a client that never reads, and nobody held up?"
    )
    .after("select_speaks_the_protocol")
    .handout("One loop for all"),
    check!(
        select_serves_a_slow_reader_to_the_end,
        "servers.9",
        Robust,
        2,
        ["select-server"],
        "Does a slow reader get every answer?"
    )
    .after("select_speaks_the_protocol")
    .handout("One loop for all"),
    check!(
        iterative_survives_bad_clients,
        "servers.10",
        Robust,
        1,
        ["iterative-server"],
        "Does the iterative server live on after junk, resets and clients that vanish?"
    )
    .after("iterative_speaks_the_protocol")
    .handout("What the checks will ask"),
    check!(
        forking_survives_bad_clients,
        "servers.10",
        Robust,
        1,
        ["forking-server"],
        "Does the forking server live on after junk, resets and clients that vanish?"
    )
    .after("forking_speaks_the_protocol")
    .handout("What the checks will ask"),
    check!(
        threaded_survives_bad_clients,
        "servers.10",
        Robust,
        1,
        ["threaded-server"],
        "Does the threaded server live on after junk, resets and clients that vanish?"
    )
    .after("threaded_speaks_the_protocol")
    .handout("What the checks will ask"),
    check!(
        select_survives_bad_clients,
        "servers.10",
        Robust,
        1,
        ["select-server"],
        "Does the select server live on after junk, resets and clients that vanish?"
    )
    .after("select_speaks_the_protocol")
    .handout("What the checks will ask"),
    check!(
        iterative_survives_failed_accepts,
        "servers.10",
        Robust,
        1,
        ["iterative-server"],
        "Does the iterative server live on when accept fails or meets a signal?"
    )
    .recorder()
    .after("iterative_speaks_the_protocol")
    .handout("What the checks will ask"),
    check!(
        forking_survives_failed_accepts,
        "servers.10",
        Robust,
        1,
        ["forking-server"],
        "Does the forking server live on when accept fails or meets a signal?"
    )
    .recorder()
    .after("forking_speaks_the_protocol")
    .handout("What the checks will ask"),
    check!(
        threaded_survives_failed_accepts,
        "servers.10",
        Robust,
        1,
        ["threaded-server"],
        "Does the threaded server live on when accept fails or meets a signal?"
    )
    .recorder()
    .after("threaded_speaks_the_protocol")
    .handout("What the checks will ask"),
    check!(
        select_survives_failed_accepts,
        "servers.10",
        Robust,
        1,
        ["select-server"],
        "Does the select server live on when accept fails or meets a signal?"
    )
    .recorder()
    .after("select_speaks_the_protocol")
    .handout("What the checks will ask"),
    check!(
        iterative_recovers_when_descriptors_were_scarce,
        "servers.10",
        Robust,
        1,
        ["iterative-server"],
        "Does the iterative server wait while no descriptor is free, and go on afterwards?"
    )
    .long()
    .recorder()
    .after("iterative_speaks_the_protocol")
    .handout("What the checks will ask"),
    check!(
        forking_recovers_when_descriptors_were_scarce,
        "servers.10",
        Robust,
        1,
        ["forking-server"],
        "Does the forking server wait while no descriptor is free, and go on afterwards?"
    )
    .long()
    .recorder()
    .after("forking_speaks_the_protocol")
    .handout("What the checks will ask"),
    check!(
        threaded_recovers_when_descriptors_were_scarce,
        "servers.10",
        Robust,
        1,
        ["threaded-server"],
        "Does the threaded server wait while no descriptor is free, and go on afterwards?"
    )
    .long()
    .recorder()
    .after("threaded_speaks_the_protocol")
    .handout("What the checks will ask"),
    check!(
        select_recovers_when_descriptors_were_scarce,
        "servers.10",
        Robust,
        1,
        ["select-server"],
        "Does the select server wait while no descriptor is free, and go on afterwards?"
    )
    .long()
    .recorder()
    .after("select_speaks_the_protocol")
    .handout("What the checks will ask"),
    check!(
        forking_survives_a_refused_helper,
        "servers.10",
        Robust,
        1,
        ["forking-server"],
        "Does a refused process or thread cost the forking server one connection only?"
    )
    .after("forking_speaks_the_protocol")
    .handout("What the checks will ask"),
    check!(
        threaded_survives_a_refused_helper,
        "servers.10",
        Robust,
        1,
        ["threaded-server"],
        "Does a refused process or thread cost the threaded server one connection only?"
    )
    .after("threaded_speaks_the_protocol")
    .handout("What the checks will ask"),
    check!(
        iterative_ends_when_it_is_told_to,
        "servers.11",
        Robust,
        1,
        ["iterative-server"],
        "Does the iterative server end when it is told to, and is its port free then?"
    )
    .after("iterative_speaks_the_protocol")
    .handout("The contract"),
    check!(
        forking_ends_when_it_is_told_to,
        "servers.11",
        Robust,
        1,
        ["forking-server"],
        "Does the forking server end when it is told to, and is its port free then?"
    )
    .after("forking_speaks_the_protocol")
    .handout("The contract"),
    check!(
        threaded_ends_when_it_is_told_to,
        "servers.11",
        Robust,
        1,
        ["threaded-server"],
        "Does the threaded server end when it is told to, and is its port free then?"
    )
    .after("threaded_speaks_the_protocol")
    .handout("The contract"),
    check!(
        select_ends_when_it_is_told_to,
        "servers.11",
        Robust,
        1,
        ["select-server"],
        "Does the select server end when it is told to, and is its port free then?"
    )
    .after("select_speaks_the_protocol")
    .handout("The contract"),
    check!(
        select_serves_2000_clients,
        "servers.12",
        Bonus,
        10,
        ["select-server"],
        "Are 2000 clients served at once?"
    )
    .long()
    .unrecorded()
    .after("select_speaks_the_protocol")
    .handout("One loop for all"),
];

/// A question that is asked of several servers: one check for each.
macro_rules! asked_of {
    ($($question:path: $($check:ident $program:literal),+;)+) => {
        $($(
            fn $check(bench: &mut Bench) -> Result<(), Stop> {
                $question(bench, $program)
            }
        )+)+
    };
}

asked_of! {
    stream::takes_the_stream_as_it_comes: iterative_takes_the_stream_as_it_comes "iterative-server", forking_takes_the_stream_as_it_comes "forking-server", threaded_takes_the_stream_as_it_comes "threaded-server", select_takes_the_stream_as_it_comes "select-server";
    trouble::survives_bad_clients: iterative_survives_bad_clients "iterative-server", forking_survives_bad_clients "forking-server", threaded_survives_bad_clients "threaded-server", select_survives_bad_clients "select-server";
    trouble::survives_failed_accepts: iterative_survives_failed_accepts "iterative-server", forking_survives_failed_accepts "forking-server", threaded_survives_failed_accepts "threaded-server", select_survives_failed_accepts "select-server";
    trouble::recovers_when_descriptors_were_scarce: iterative_recovers_when_descriptors_were_scarce "iterative-server", forking_recovers_when_descriptors_were_scarce "forking-server", threaded_recovers_when_descriptors_were_scarce "threaded-server", select_recovers_when_descriptors_were_scarce "select-server";
    trouble::survives_a_refused_helper: forking_survives_a_refused_helper "forking-server", threaded_survives_a_refused_helper "threaded-server";
    ending::ends_when_it_is_told_to: iterative_ends_when_it_is_told_to "iterative-server", forking_ends_when_it_is_told_to "forking-server", threaded_ends_when_it_is_told_to "threaded-server", select_ends_when_it_is_told_to "select-server";
}
