//! `hexwatch run`: the engine and the server on the user's Kafka.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Result, bail};
use hexwatch_contract::{Account, Topic};
use hexwatch_server::{Accounts, Role as LoginRole};
use toml::Value;

use super::{brokers, path, runtime, say, settings, stopped_by_signals, text};
use crate::cli::{Role, Run};
use crate::config::{ClockKind, Config, login_name};
use crate::pipeline::{self, Plan, Report};
use crate::{site, worker};

pub(crate) fn run(file: Option<&Path>, run: &Run) -> Result<()> {
    let config = config(file, run)?;
    if config.kafka.brokers.is_empty() {
        bail!("no brokers are named: say --brokers host:port, or set kafka.brokers in hexwatch.toml");
    }
    let (reads, serves) = (run.role.contains(&Role::Ingest), run.role.contains(&Role::Serve));
    if !(reads && serves) {
        check_split(&config, run)?;
    }
    if !serves {
        let (brokers, site) = (brokers(&config, &config.kafka.brokers)?, site::load(&config.site.dir)?);
        return runtime()?.block_on(async {
            let stop = stopped_by_signals()?;
            worker::run(&config, &brokers, site, stop).await
        });
    }
    let plan = Plan {
        brokers: brokers(&config, &config.kafka.brokers)?,
        site: site::load(&config.site.dir)?,
        accounts: accounts(&config),
        mode: if config.time.clock == ClockKind::Event { "replay" } else { "live" },
        until_end: run.until_end,
        by_workers: !reads,
        accept_gap: run.accept_gap.then(login_name),
        config,
    };
    let report = runtime()?.block_on(async {
        let stop = stopped_by_signals()?;
        pipeline::run(plan, stop).await
    })?;
    if run.until_end {
        tell(&report);
    }
    Ok(())
}

/// What only one process can do that does everything.
fn check_split(config: &Config, run: &Run) -> Result<()> {
    if config.time.clock == ClockKind::Event {
        bail!(
            "reading a recording with its roles split: workers read at their own pace, and the one ahead would move the \
             clock for all; run recordings with --role ingest,serve"
        );
    }
    if run.until_end {
        bail!(
            "--until-end with the roles split: nobody would tell a worker when the others are done; run with \
             --role ingest,serve"
        );
    }
    if run.accept_gap && !run.role.contains(&Role::Serve) {
        bail!(
            "--accept-gap is for the process that serves: it owns the history, and tells workers where to begin"
        );
    }
    Ok(())
}

fn config(file: Option<&Path>, run: &Run) -> Result<Config> {
    let clock = run.event_clock.then(|| Value::String("event".to_owned()));
    let flags = vec![
        ("kafka.brokers", text(run.brokers.as_deref())),
        ("site.dir", path(run.site.as_deref())),
        ("queries.dir", path(run.queries.as_deref())),
        ("history.data_dir", path(run.data_dir.as_deref())),
        ("server.listen", run.listen.map(|address| Value::String(address.to_string()))),
        ("time.clock", clock),
    ];
    settings(file, flags)
}

/// Who may come in: on a loopback address without logins of their own, whoever is at the machine.
fn accounts(config: &Config) -> Accounts {
    let accounts = Accounts::new(Vec::new());
    if config.server.open || config.server.listen.ip().is_loopback() {
        return accounts.open_as(LoginRole::Operator);
    }
    accounts
}

/// Prints the account of records: what was read is accepted, duplicate, late or a dead letter.
fn tell(report: &Report) {
    for line in account_table(&report.totals) {
        say(&line);
    }
    say("");
    say(&format!("{} alarm changes; everything is committed", report.alarm_changes));
}

fn account_table(totals: &BTreeMap<Topic, Account>) -> Vec<String> {
    let mut total = Account::default();
    let mut lines = vec![format!(
        "{:<14}{:>12}{:>12}{:>12}{:>12}{:>12}",
        "topic", "read", "accepted", "duplicate", "late", "dead_letter"
    )];
    for topic in Topic::ALL {
        let account = totals.get(&topic).copied().unwrap_or_default();
        total += account;
        lines.push(account_line(topic.name(), account));
    }
    lines.push(account_line("total", total));
    lines
}

fn account_line(name: &str, account: Account) -> String {
    let Account { read, accepted, duplicate, late, dead_letter } = account;
    format!("{name:<14}{read:>12}{accepted:>12}{duplicate:>12}{late:>12}{dead_letter:>12}")
}
