//! The guide's page about other engines than the inbox: its app and its worker, against a real server.
#![forbid(unsafe_code)]

mod app;
mod cases;
