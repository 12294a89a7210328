use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::thread;

use gemini_webhooks_harness::{Balancer, Port};

/// A server that answers each request with its name, over a connection of its own.
fn serve(name: &'static str) -> Port {
    let port = Port::free();
    let listener = TcpListener::bind(("127.0.0.1", port.number())).unwrap();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut head = [0; 1024];
            // A check of the balancer opens and closes only.
            if stream.read(&mut head).is_ok_and(|read| read > 0) {
                let length = name.len();
                let answer = format!(
                    "HTTP/1.1 200 OK\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{name}"
                );
                stream.write_all(answer.as_bytes()).unwrap();
            }
        }
    });
    port
}

fn ask(balancer: &Balancer) -> String {
    let mut stream = TcpStream::connect(("127.0.0.1", balancer.port())).unwrap();
    let request = "GET / HTTP/1.1\r\nhost: app\r\nconnection: close\r\n\r\n";
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

#[test]
fn balancers_ask_all_servers_that_are_up() {
    let (one, two, down) = (serve("one"), serve("two"), Port::free());
    let servers = [one.number(), two.number(), down.number()];
    for balancer in [Balancer::nginx(&servers), Balancer::haproxy(&servers)] {
        // HAProxy needs a moment to notice that the third is down, and asks another meanwhile.
        let answers: Vec<String> = (0..12).map(|_| ask(&balancer)).collect();
        for answer in &answers {
            assert!(answer.starts_with("HTTP/1.1 200"), "{balancer:?}: {answer}");
        }
        for name in ["one", "two"] {
            let from = answers.iter().filter(|answer| answer.ends_with(name));
            assert!(from.count() > 2, "{balancer:?}: {answers:?}");
        }
    }
}
