//! Test bed: stands where Hyperdrive's pool stands, between `wrangler dev` and Postgres.
//!
//! wrangler's own local Hyperdrive ends its whole process when the database refuses, resets or ends a connection; the service says
//! on the open connection that the database is away. So does this, in Postgres's protocol (version 3.0, message formats).

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt, copy};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio::time::timeout;

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
            let _ = client.set_nodelay(true);
            tokio::spawn(pass(client, address.clone()));
        }
    });
    (url, task)
}

async fn pass(mut client: TcpStream, address: String) {
    if let Ok(mut database) = TcpStream::connect(&address).await {
        let _ = database.set_nodelay(true);
        let (mut from_client, mut to_client) = client.split();
        let (mut from_database, mut to_database) = database.split();
        let client_is_done = tokio::select! {
            // An error is the database's: it took no more.
            copied = copy(&mut from_client, &mut to_database) => copied.is_ok(),
            _ = copy(&mut from_database, &mut to_client) => false,
        };
        if client_is_done {
            return;
        }
    }
    // The connection stays open until the client ends it, as it does now if it has said good-bye; whatever it says else, and whatever
    // it waits for, gets the same answer.
    let mut ignored = [0; 8_192];
    let mut wait = Duration::from_millis(300);
    loop {
        let said = timeout(wait, client.read(&mut ignored)).await;
        if said.as_ref().is_ok_and(|said| !matches!(said, Ok(bytes) if *bytes > 0)) {
            return;
        }
        // Terminate is not answered: the client is as good as gone.
        let terminate = said.is_ok() && ignored[0] == b'X';
        if !terminate && client.write_all(&away()).await.is_err() {
            return;
        }
        wait = Duration::from_secs(3_600);
    }
}

// ErrorResponse 57P03 (cannot_connect_now), then ReadyForQuery.
fn away() -> Vec<u8> {
    let fields = b"SFATAL\0VFATAL\0C57P03\0Mthe database is away\0\0";
    let length = u32::try_from(fields.len() + 4).expect("short").to_be_bytes();
    [&b"E"[..], &length, fields, b"Z\0\0\0\x05I"].concat()
}
