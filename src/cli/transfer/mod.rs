//! `logyard archive export` and `import`: what a server has in open formats, and what was kept elsewhere into a server.
pub(super) mod export;
pub(super) mod import;
