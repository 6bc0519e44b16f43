//! The protocol that all four servers speak: what arrives as bytes leaves as requests.
//!
//! TCP delivers a stream of bytes, not lines: one `read` may bring half a request or seven of them. [`Requests`]
//! gathers the bytes of one connection and hands out the requests that are complete. It knows nothing of sockets,
//! so every server uses it, whether it blocks in `read` or asks `poll` first.
//!
//! A program takes this file in by `mod protocol;`.

// Yours to write, once for all four servers: gather bytes, hand out complete requests.
