//! One connection of a worker, from its greeting to its end.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use hexwatch_ingest::Event;
use hexwatch_relay::message::{Note, Order};
use hexwatch_relay::{Hello, Member, Report, frame};
use tokio::io::{AsyncWriteExt as _, BufReader};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, mpsc};
use tokio_util::sync::CancellationToken;

use super::Reception;
use super::desk::{Connection, Desk};

#[cfg(test)]
mod tests;

/// Nobody who has not greeted may send more than this, or take longer.
const LONGEST_HELLO: u32 = 64 * 1024;
const GREETED_WITHIN: Duration = Duration::from_secs(10);
/// So many connections are open at most; more wait in the system's queue.
const MOST: usize = 1_024;
/// Orders that wait for a worker to take them.
const ORDERS: usize = 1_024;
/// How often a worker is told that this process is alive; it gives a connection up after some times as long.
const ALIVE_EVERY: Duration = Duration::from_secs(2);
/// How long nobody is let in after the system gave no connection.
const PAUSE: Duration = Duration::from_millis(200);

/// Lets workers in until `stop`.
pub(super) async fn accept(desk: Arc<Desk>, reception: Reception, stop: CancellationToken) {
    let listener = match reception.listener.try_clone().and_then(TcpListener::from_std) {
        Ok(listener) => listener,
        Err(error) => {
            tracing::error!(%error, "nobody can be let in");
            return;
        }
    };
    let reception = Arc::new(reception);
    let places = Arc::new(Semaphore::new(MOST));
    loop {
        let Ok(place) = Arc::clone(&places).acquire_owned().await else { return };
        let accepted = tokio::select! {
            () = stop.cancelled() => return,
            accepted = listener.accept() => accepted,
        };
        let (stream, address) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::warn!(%error, "a worker could not be let in");
                tokio::time::sleep(PAUSE).await;
                continue;
            }
        };
        let (desk, reception, end) = (Arc::clone(&desk), Arc::clone(&reception), stop.child_token());
        tokio::spawn(async move {
            let served = serve(&desk, &reception, stream, &end);
            if let Some(Err(error)) = end.run_until_cancelled(served).await {
                tracing::warn!(%address, "the connection of a worker: {error:#}");
            } else {
                tracing::info!(%address, "the connection of a worker has ended");
            }
            end.cancel();
            drop(place);
        });
    }
}

/// Takes the connection out of the desk, however its task ends.
struct Presence<'a> {
    desk: &'a Desk,
    member: Member,
}

impl Drop for Presence<'_> {
    fn drop(&mut self) {
        self.desk.leave(self.member);
    }
}

async fn serve(desk: &Desk, reception: &Reception, stream: TcpStream, end: &CancellationToken) -> Result<()> {
    let address = stream.peer_addr()?;
    stream.set_nodelay(true)?;
    let (read, mut write) = stream.into_split();
    let mut read = BufReader::new(read);
    let hello = tokio::time::timeout(GREETED_WITHIN, greeting(&mut read))
        .await
        .context("waiting for a greeting")??;
    if let Err(refusal) = hello.check(&reception.secret, &reception.fingerprint, desk.lanes().len()) {
        say(&mut write, &Order::Refused(refusal.to_string())).await?;
        bail!("the worker `{}` was not let in: {refusal}", hello.worker);
    }
    let (orders, waiting) = mpsc::channel(ORDERS);
    tokio::spawn(end.clone().run_until_cancelled_owned(give_orders(write, waiting, end.clone())));
    let member = enter(desk, &hello, orders, end, address);
    let presence = Presence { desk, member };
    while let Some(bytes) = frame::read(&mut read, frame::LONGEST).await? {
        hear(desk, hello.lane, member, &bytes).await?;
    }
    drop(presence);
    Ok(())
}

fn enter(
    desk: &Desk,
    hello: &Hello,
    orders: mpsc::Sender<Order>,
    end: &CancellationToken,
    address: SocketAddr,
) -> Member {
    let Hello { worker, lane, program, .. } = hello;
    tracing::info!(worker, lane, program, %address, "a worker has come");
    let connection = Connection { worker: worker.clone(), lane: *lane, orders, end: end.clone() };
    desk.join(connection, Instant::now())
}

async fn greeting(read: &mut BufReader<OwnedReadHalf>) -> Result<Hello> {
    let bytes = frame::read(read, LONGEST_HELLO).await?.context("it ended before it began")?;
    match Report::decode(&bytes)? {
        Report::Note(Note::Hello(hello)) => Ok(hello),
        Report::Note(_) | Report::Chunk(_) => bail!("a worker has to greet first"),
    }
}

/// Takes in one message. Where the engine has no room, nothing more is read from this connection.
async fn hear(desk: &Desk, lane: usize, member: Member, bytes: &[u8]) -> Result<()> {
    let queue = &desk.lanes()[lane].queue;
    match Report::decode(bytes)? {
        Report::Note(note) => {
            if let Some(event) = desk.note(member, note, Instant::now()) {
                queue.send(event).await.context("the engine has ended")?;
            }
        }
        Report::Chunk(handed) => {
            if desk.lane_of(&handed.chunk.partition) != Some(lane) {
                bail!("a chunk of {} on the connection of another lane", handed.chunk.partition);
            }
            let room: mpsc::Permit<'_, Event> = queue.reserve().await.context("the engine has ended")?;
            desk.take(member, *handed, room, Instant::now());
        }
    }
    Ok(())
}

async fn give_orders(mut write: OwnedWriteHalf, mut waiting: mpsc::Receiver<Order>, end: CancellationToken) {
    let mut alive = tokio::time::interval_at((Instant::now() + ALIVE_EVERY).into(), ALIVE_EVERY);
    loop {
        let order = tokio::select! {
            order = waiting.recv() => order,
            _ = alive.tick() => Some(Order::Alive),
        };
        let Some(order) = order else { break };
        if let Err(error) = say(&mut write, &order).await {
            tracing::debug!("a worker takes no orders: {error:#}");
            break;
        }
    }
    end.cancel();
}

async fn say(write: &mut OwnedWriteHalf, order: &Order) -> Result<()> {
    frame::write(write, &order.encode()?).await?;
    Ok(write.flush().await?)
}
