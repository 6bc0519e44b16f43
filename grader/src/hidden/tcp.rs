//! Robust and bonus checks of the lab `tcp`.
//!
//! Connections break, calls take or give only a part, data is larger than memory: what the course warns about. Short
//! counts are injected where the kernel could give them, so that a program meets them every time.

mod addresses;
mod client;
mod conventions;
mod dual;
mod memory;
mod server;
mod upload;

use crate::check;
use crate::check::Check;

/// The rubric, in teaching order.
pub const CHECKS: &[Check] = &[
    check!(
        client::client_sends_the_whole_message,
        "tcp.4",
        Robust,
        3,
        ["tcp-client"],
        "Does the client send the rest when one call takes only a part?"
    )
    .recorder()
    .after("client_says_hello")
    .handout("A send takes what it can"),
    check!(
        client::client_reads_the_whole_answer,
        "tcp.5",
        Robust,
        3,
        ["tcp-client"],
        "Does the client read on when the answer comes in pieces?"
    )
    .recorder()
    .after("client_says_hello")
    .mistakes(&["one-receive-taken-for-a-message"])
    .handout("A recv gives what there is"),
    check!(
        client::client_reports_an_answer_cut_short,
        "tcp.5",
        Robust,
        3,
        ["tcp-client"],
        "Is it an error when the connection ends before three bytes have come?"
    )
    .after("client_says_hello")
    .handout("A recv gives what there is"),
    check!(
        server::server_restarts_at_once,
        "tcp.6",
        Robust,
        3,
        ["tcp-server"],
        "Can the server be started again at once after it closed first?"
    )
    .after("server_answers_each_message")
    .handout("TIME_WAIT, and SO_REUSEADDR"),
    check!(
        server::server_refuses_a_second_copy,
        "tcp.6",
        Robust,
        2,
        ["tcp-server"],
        "Does a second copy on the same port fail, and say so?"
    )
    .after("server_answers_each_message")
    .handout("TIME_WAIT, and SO_REUSEADDR"),
    check!(
        server::server_survives_clients_that_leave,
        "tcp.7",
        Robust,
        3,
        ["tcp-server"],
        "Is the next client served after others have left or reset?"
    )
    .after("server_answers_each_message")
    .handout("When the peer is gone"),
    check!(
        server::server_survives_a_broken_pipe,
        "tcp.7",
        Robust,
        3,
        ["tcp-server"],
        "Does the server outlive a client that is gone when it is answered?"
    )
    .recorder()
    .after("server_answers_each_message")
    .handout("When the peer is gone"),
    check!(
        server::server_takes_one_connection_after_another,
        "tcp.8",
        Robust,
        3,
        ["tcp-server"],
        "Do three clients wait while one is served, each for its turn?"
    )
    .after("server_answers_each_message")
    .handout("The life of a connection"),
    check!(
        client::client_names_the_address,
        "tcp.9",
        Robust,
        2,
        ["tcp-client"],
        "Where nobody listens, does the client say so and end with status 1?"
    )
    .after("client_says_hello")
    .handout("The life of a connection"),
    check!(
        server::server_keeps_no_descriptor,
        "tcp.13",
        Robust,
        2,
        ["tcp-server"],
        "Does the server give back the descriptor of every connection?"
    )
    .after("server_answers_each_message")
    .handout("How a connection ends"),
    check!(
        conventions::options_are_as_the_handout_says,
        "tcp.0",
        Robust,
        2,
        ["tcp-server", "tcp-client"],
        "Are options understood, and malformed ones refused?"
    )
    .after("server_answers_each_message")
    .handout("The contract"),
    check!(
        conventions::an_unwritten_line_is_an_error,
        "tcp.0",
        Robust,
        1,
        ["tcp-server", "tcp-client"],
        "Is a line that cannot be written an error, and no panic?"
    )
    .after("options_are_as_the_handout_says")
    .handout("The contract"),
    check!(
        conventions::failures_name_the_address,
        "tcp.0",
        Robust,
        1,
        ["tcp-server", "tcp-client"],
        "Does a failure name the address that it is about?"
    )
    .after("options_are_as_the_handout_says")
    .handout("The contract"),
    check!(
        conventions::servers_end_when_told,
        "tcp.0",
        Robust,
        1,
        ["tcp-server"],
        "Is the server gone within a second of SIGTERM or SIGINT?"
    )
    .after("server_answers_each_message")
    .handout("The contract"),
    check!(
        conventions::signals_end_no_wait,
        "tcp.0",
        Robust,
        1,
        ["tcp-server", "tcp-client"],
        "Do server and client wait on after a stop and a continue?"
    )
    .after("options_are_as_the_handout_says")
    .handout("The contract"),
    check!(
        upload::upload_server_counts_seventeen_million_bytes,
        "tcp.11",
        Robust,
        2,
        ["upload-server"],
        "Is the receipt right for 17,000,000 bytes of ff?"
    )
    .after("upload_server_answers_after_the_end")
    .handout("The receipt"),
    check!(
        upload::upload_server_meets_short_calls,
        "tcp.11",
        Robust,
        2,
        ["upload-server"],
        "Is the receipt right and whole when calls take or give only a part?"
    )
    .recorder()
    .after("upload_server_answers_after_the_end")
    .handout("A send takes what it can"),
    check!(
        upload::upload_client_meets_short_calls,
        "tcp.11",
        Robust,
        2,
        ["upload-client"],
        "Does all of stdin arrive when calls take or give only a part?"
    )
    .recorder()
    .after("upload_client_ends_its_direction")
    .handout("A send takes what it can"),
    check!(
        memory::upload_server_needs_no_more_memory,
        "tcp.11",
        Robust,
        1,
        ["upload-server"],
        "Does the upload server need no more memory for more data?"
    )
    .after("upload_server_answers_after_the_end")
    .handout("The half-close"),
    check!(
        memory::upload_client_needs_no_more_memory,
        "tcp.11",
        Robust,
        1,
        ["upload-client"],
        "Does the upload client need no more memory for more data?"
    )
    .after("upload_client_ends_its_direction")
    .handout("The half-close"),
    check!(
        upload::upload_client_reports_a_lost_server,
        "tcp.12",
        Robust,
        2,
        ["upload-client"],
        "Is a receipt cut short, or a lost server, an error?"
    )
    .long()
    .after("upload_client_ends_its_direction")
    .handout("When the peer is gone"),
    check!(
        upload::upload_client_compares_the_figures,
        "tcp.12",
        Robust,
        1,
        ["upload-client"],
        "Does the client end with status 1 when the server's figures differ?"
    )
    .after("upload_client_ends_its_direction")
    .handout("The contract"),
    check!(
        upload::upload_client_waits_for_a_slow_reader,
        "tcp.12",
        Robust,
        1,
        ["upload-client"],
        "Does a server that reads late only slow the client down?"
    )
    .recorder()
    .after("upload_client_ends_its_direction")
    .handout("The half-close"),
    check!(
        upload::upload_server_restarts_and_refuses_a_second_copy,
        "tcp.6",
        Robust,
        1,
        ["upload-server"],
        "Can the upload server restart at once, but not run twice on a port?"
    )
    .after("upload_server_answers_after_the_end")
    .handout("TIME_WAIT, and SO_REUSEADDR"),
    check!(
        upload::upload_server_survives_clients_that_leave,
        "tcp.7",
        Robust,
        1,
        ["upload-server"],
        "Is the next upload taken after others have been broken off?"
    )
    .after("upload_server_answers_after_the_end")
    .handout("When the peer is gone"),
    check!(
        upload::upload_server_takes_one_connection_after_another,
        "tcp.8",
        Robust,
        1,
        ["upload-server"],
        "Do uploads wait for their turn, and keep no descriptor?"
    )
    .after("upload_server_answers_after_the_end")
    .handout("The life of a connection"),
    check!(
        upload::upload_client_names_the_address,
        "tcp.9",
        Robust,
        1,
        ["upload-client"],
        "Where nobody listens, does the upload client say so?"
    )
    .after("upload_client_ends_its_direction")
    .handout("The life of a connection"),
    check!(
        conventions::waits_without_spinning,
        "tcp.0",
        Robust,
        1,
        ["tcp-server", "tcp-client"],
        "Do server and client wait without using processor time?"
    )
    .recorder()
    .after("options_are_as_the_handout_says")
    .handout("The contract"),
    check!(
        conventions::uploads_wait_without_spinning,
        "tcp.0",
        Robust,
        1,
        ["upload-server", "upload-client"],
        "Do the upload programs wait without using processor time?"
    )
    .recorder()
    .after("uploads_keep_the_conventions")
    .handout("The contract"),
    check!(
        conventions::uploads_keep_the_conventions,
        "tcp.0",
        Robust,
        1,
        ["upload-server", "upload-client"],
        "Do the upload programs keep the conventions, too?"
    )
    .after("upload_server_answers_after_the_end")
    .handout("The contract"),
    check!(
        addresses::clients_try_each_address,
        "tcp.14",
        Bonus,
        5,
        ["tcp-client", "upload-client"],
        "Do the clients try each address of a name?"
    )
    .after("client_says_hello")
    .handout("The contract"),
    check!(
        addresses::servers_speak_both_families,
        "tcp.14",
        Bonus,
        4,
        ["tcp-server", "upload-server"],
        "Do the servers with --host :: serve IPv6 and IPv4?"
    )
    .after("server_answers_each_message")
    .handout("The contract"),
    check!(
        dual::dual_server_tells_uploads_from_greetings,
        "tcp.15",
        Bonus,
        5,
        ["upload-server"],
        "Are uploads and greetings told apart by their first bytes?"
    )
    .after("upload_server_answers_after_the_end")
    .handout("Two protocols on one port"),
    check!(
        dual::dual_server_waits_for_the_magic,
        "tcp.15",
        Bonus,
        4,
        ["upload-server"],
        "Are magic bytes in pieces waited for, without a busy loop?"
    )
    .recorder()
    .after("dual_server_tells_uploads_from_greetings")
    .handout("Two protocols on one port"),
    check!(
        dual::upload_client_sends_the_magic,
        "tcp.15",
        Bonus,
        2,
        ["upload-client"],
        "Does --magic 1 send UPL1 first, and not count it?"
    )
    .after("upload_client_ends_its_direction")
    .handout("Two protocols on one port"),
];
