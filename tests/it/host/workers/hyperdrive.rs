//! Test bed: stands where Hyperdrive's pool stands, between `wrangler dev` and Postgres.
//!
//! wrangler's own local Hyperdrive ends the whole process when the database refuses or resets a connection; the service does not.
//! So this accepts always, and ends a connection cleanly when the database does not take it or goes away.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

use crate::host::stage;

/// Opens the pool's door in front of `database_url`; returns the URL to use instead, and the task that keeps it open.
pub fn open(database_url: &str) -> (String, JoinHandle<()>) {
    let rest = database_url.rsplit_once('@').expect("a user").1;
    let address = rest.split(['/', '?']).next().expect("a host").to_owned();
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    listener.set_nonblocking(true).expect("a socket");
    let url = database_url.replace(&address, &listener.local_addr().expect("an address").to_string());
    let task = stage().spawn(async move {
        let listener = TcpListener::from_std(listener).expect("a socket");
        while let Ok((client, _)) = listener.accept().await {
            tokio::spawn(pass(client, address.clone()));
        }
    });
    (url, task)
}

async fn pass(mut client: TcpStream, address: String) {
    if let Ok(mut database) = TcpStream::connect(&address).await {
        let _ = client.set_nodelay(true);
        let _ = database.set_nodelay(true);
        let _ = copy_bidirectional(&mut client, &mut database).await;
    }
    // What was not read would turn the end into a reset.
    let _ = client.shutdown().await;
    let mut sink = [0; 1024];
    let drained = async { while matches!(client.read(&mut sink).await, Ok(n) if n > 0) {} };
    let _ = tokio::time::timeout(Duration::from_secs(5), drained).await;
}
