use std::fmt::Write as _;
use std::fs;
use std::net::TcpStream;
use std::path::{Path, PathBuf};

use crate::port::Port;
use crate::process::{Keeper, find, is_root};

/// A load balancer before servers of 127.0.0.1: nginx or HAProxy, with the settings that their own
/// documentation shows. It keeps its connections to the servers, and passes over a server that is down.
#[derive(Debug)]
pub struct Balancer {
    port: Port,
    /// It ends the program with this value.
    _keeper: Keeper,
}

impl Balancer {
    /// Starts nginx before the servers on these ports.
    #[must_use]
    pub fn nginx(servers: &[u16]) -> Self {
        let file = "nginx.conf";
        Self::start("nginx", file, &["-p", ".", "-c", file], |port, folder| {
            nginx_settings(port, folder, servers)
        })
    }

    /// Starts HAProxy before the servers on these ports.
    #[must_use]
    pub fn haproxy(servers: &[u16]) -> Self {
        let file = "haproxy.cfg";
        Self::start("haproxy", file, &["-db", "-f", file], |port, _| {
            haproxy_settings(port, servers)
        })
    }

    fn start(
        name: &str,
        file: &str,
        arguments: &[&str],
        settings: impl FnOnce(u16, &Path) -> String,
    ) -> Self {
        let port = Port::free();
        let sbin = ["/usr/sbin", "/usr/local/sbin"].map(PathBuf::from);
        let program = find(name, name, &sbin);
        let keeper = Keeper::new(None, "TERM", &program, arguments);
        let settings = settings(port.number(), keeper.directory());
        fs::write(keeper.directory().join(file), settings).expect("the settings");
        keeper.start(|_| TcpStream::connect(("127.0.0.1", port.number())).is_ok());
        Self {
            port,
            _keeper: keeper,
        }
    }

    /// The port, of 127.0.0.1, that clients connect to.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port.number()
    }
}

fn nginx_settings(port: u16, folder: &Path, servers: &[u16]) -> String {
    let folder = folder.display();
    // Root must say whose processes the workers are to be. The folder is root's then.
    let user = if is_root() { "user root;" } else { "" };
    let mut temporary = String::new();
    for kind in ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"] {
        writeln!(temporary, "    {kind}_temp_path {folder}/{kind};").expect("a string");
    }
    let mut upstream = String::new();
    for server in servers {
        writeln!(
            upstream,
            "        server 127.0.0.1:{server} fail_timeout=2s;"
        )
        .expect("a string");
    }
    format!(
        "{user}
daemon off;
pid {folder}/nginx.pid;
error_log stderr error;
worker_processes 1;
events {{ worker_connections 4096; }}
http {{
    access_log off;
{temporary}
    upstream app {{
{upstream}
        keepalive 32;
    }}
    server {{
        listen 127.0.0.1:{port};
        location / {{
            proxy_pass http://app;
            proxy_http_version 1.1;
            proxy_set_header Connection \"\";
        }}
    }}
}}
"
    )
}

fn haproxy_settings(port: u16, servers: &[u16]) -> String {
    let mut lines = String::new();
    for server in servers {
        writeln!(
            lines,
            "    server s{server} 127.0.0.1:{server} check inter 500ms fall 2 rise 1"
        )
        .expect("a string");
    }
    format!(
        "global
    maxconn 4000
defaults
    mode http
    timeout connect 2s
    timeout client 30s
    timeout server 30s
    timeout queue 2s
    option redispatch
listen app
    bind 127.0.0.1:{port}
{lines}"
    )
}
