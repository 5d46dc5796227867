//! TEMP harness
mod postgres;
mod secret_file;
#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let a: Vec<String> = std::env::args().collect();
    std::fs::create_dir_all(&a[1])?;
    let data = std::path::Path::new(&a[1]).canonicalize()?;
    let t = tokio::time::Instant::now();
    let p = postgres::Postgres::start(&data, if a.len() > 2 { postgres::Lifetime::Ephemeral } else { postgres::Lifetime::Kept }).await?;
    println!("{} {:?} {:?}", p.url, p.elsewhere, t.elapsed());
    tokio::signal::ctrl_c().await?;
    p.stop().await;
    println!("stopped");
    Ok(())
}
