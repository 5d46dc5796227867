//! temporary
use crate::endpoint::{Endpoint, Reply};
use crate::host::{Host, Options, on_own};
use std::time::Duration;
#[test]
fn bed_lambda() {
    on_own(&[Host::Lambda], Options { name: "bed".to_owned(), ..Options::default() }, async |d| {
        let a = d.api.send("POST", "/v1/x?a=b%20c", Some(b"{\"a\":1}".to_vec())).await;
        println!("{a:?}");
        let a = d.api.send("POST", "/v1/x?a=b%20c", Some(b"\xff\xfe".to_vec())).await;
        println!("{a:?}");
        let a = d.api.get("/die").await;
        println!("{a:?}");
        let l = d.lambda();
        l.mapping.hold();
        tokio::time::sleep(Duration::from_millis(300)).await;
        for _ in 0..3 { l.mapping.queue.send("good", 0).await; }
        l.mapping.queue.send("bad", 0).await;
        l.mapping.queue.send("later", 2).await;
        l.mapping.release();
        tokio::time::sleep(Duration::from_millis(700)).await;
        d.kill_deliverer();
        tokio::time::sleep(Duration::from_secs(6)).await;
        println!("{} invocations; rows {:?}", l.mapping.invocations(), d.sql("select 1, 'x'").await);
    });
}
#[test]
fn bed_endpoint() {
    crate::host::stage().block_on(async {
        let e = Endpoint::scripted([Reply::status(201).body("hi")]);
        let api = crate::api::Api::new(&e.url(), "");
        println!("{:?}", api.send("POST", "/x?y", Some(b"{}".to_vec())).await);
        println!("{:?}", e.received());
    });
}
