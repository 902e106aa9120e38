//! The program from outside: the real binary on a free port, spoken to over HTTP and on the command line.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, missing_docs, reason = "tests fail by panicking")]

// What the API says of itself.
mod description;
// Starts servers and speaks to them.
mod harness;
// What `bench kill` writes.
#[path = "../src/cli/kill/rows.rs"]
mod kill_rows;

// Certificates that are made here.
mod certificate;
// HTTP/2, byte by byte.
mod frames;

// Every route, and what it takes to use it.
#[path = "../src/server/access/table.rs"]
#[allow(dead_code, reason = "tests look at some of it only")]
mod table;

// Every route with every kind of credential.
mod access;
// What Grafana's plugin asks for.
mod grafana;
// What goes to the archive, is searched there and comes back.
mod archive;
// Who may come in.
mod auth;
// Copies of all there is, of servers and of directories.
mod backup;
// Client commands: questions, answers, and what is wrong.
mod cli_client;
// Files and standard input into a server.
mod cli_ingest;
// Compressed bodies, and those that become too large.
mod bodies;
// Commands, their output and exit codes.
mod commands;
// Killed servers and what they have acknowledged.
mod crash;
// Clients that mean harm, and what they are given up for.
mod defence;
// Directories that are damaged, in part unreadable, or copied.
mod degraded;
// Records that are deleted by a filter.
mod deletion;
// What is put on machines.
mod deploy;
// The examples of docs/api.md.
mod examples;
// Masks and daily numbers.
mod gates;
// Queries that mean harm, and what bounds them.
mod hostile;
// The ways in: one log, batches, JSON lines.
mod ingest;
// Killed engines and what they have acknowledged.
mod kills;
// API keys.
mod keys;
// How often may be asked, and by which pages.
mod limits;
// How each service wants its records kept.
mod configs;
// Requests that are sent again.
mod once;
// What surrounds every request.
mod protocol;
// What is counted for graphs.
mod metrics;
// The description of the API.
mod openapi;
// The server's own log.
mod own_log;
// LogsQL over JSON lines.
mod query;
// The examples and tables of docs/query.md.
mod query_page;
// Search, by id, services.
mod reads;
// Where settings come from.
mod settings;
// What is written down of requests and changes.
mod records;
// Keys that end while somebody uses them.
mod revoked;
// The client that services had before.
mod seed;
// LogsQL in the shapes of VictoriaLogs.
mod select;
// Logs as they arrive, over WebSockets.
mod socket;
// Rows as they arrive.
mod tail;
// HTTPS from files.
mod tls;
// Records out in open formats, and in again.
mod transfer;
// docs/moving.md, step by step.
mod moving;
