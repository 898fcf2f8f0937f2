//! Opens live sockets by the thousand and tells what they got: the scripts in `benches/` run it against a server. It
//! shares nothing with the server but the clock.
//!
//! ```text
//! socket_load ADDRESS [--clients N] [--stalled N] [--seconds S] [--per-second N] [--lateness MS] [--cells FILE]
//! ```
//!
//! `--stalled` of the clients subscribe and never read. The age of a cells message is told from its watermark and the
//! `--lateness`, in milliseconds: that is when the latest event happened of the partition that is furthest behind, and no
//! later than when the pane closed. When it did, the records tell: `--cells` notes in a file when each message came, and
//! its watermark. The age of an alarm is told, rule by rule, from the time that its key ends in (`sent-MILLISECONDS`).

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "figures go to standard output")]

mod arguments;
mod client;
mod figures;
mod metrics;

use std::error::Error;
use std::rc::Rc;
use std::time::Duration;

use tokio::task::LocalSet;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until};

use arguments::Arguments;
use figures::Figures;

/// One thread: the load must leave the machine to the server.
#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let arguments = Arguments::read(std::env::args().skip(1))?;
    LocalSet::new().run_until(load(Rc::new(arguments))).await;
    Ok(())
}

async fn load(arguments: Rc<Arguments>) {
    let figures = Rc::new(Figures::default());
    let mut doors = interval(Duration::from_secs(1) / arguments.per_second.max(1));
    doors.set_missed_tick_behavior(MissedTickBehavior::Burst);
    let mut clients = Vec::new();
    for number in 0..arguments.clients {
        doors.tick().await;
        let (arguments, figures) = (Rc::clone(&arguments), Rc::clone(&figures));
        clients.push(tokio::task::spawn_local(async move {
            if let Err(error) = client::run(number, &arguments, &figures).await {
                figures.failed(&error.to_string());
            }
        }));
    }
    // What the first ones heard while the others came belongs to the opening.
    figures.settle_within(Duration::from_secs(30), arguments.reading()).await;
    figures.begin();
    println!("open: {} of {} clients read", figures.reading(), arguments.reading());
    let end = Instant::now() + arguments.seconds;
    let watched = tokio::task::spawn_local(metrics::watch(arguments.address, end));
    sleep_until(end).await;
    let cuts = watched.await.unwrap_or_default();
    figures.print(&arguments, &cuts);
    if let Some(path) = &arguments.cells
        && let Err(error) = figures.write_cells(path)
    {
        eprintln!("{}: {error}", path.display());
    }
    for client in clients {
        client.abort();
    }
}
