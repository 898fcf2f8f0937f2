//! How effects are executed: in their order, over the modelled disk and outlets, as the pipeline does.

use hexwatch::machine::Effect;
use hexwatch_contract::alarm::Alarm;

use super::chance::Stop;
use super::flaw::Flaw;
use super::outlets::view_rows;
use super::process::Surface;

/// Executes `effects` in their order; the process may die before and after each.
pub(super) fn execute(mut effects: Vec<Effect>, on: &mut Surface<'_>) -> Result<(), Stop> {
    if on.flaw == Flaw::ToldBeforeLogged {
        effects.sort_by_key(|effect| matches!(effect, Effect::Log(_)));
    }
    for effect in effects {
        on.faults.boundary()?;
        on.faults.note(|| format!("  {}", told(&effect)));
        execute_one(effect, on)?;
    }
    on.faults.boundary()
}

fn execute_one(effect: Effect, on: &mut Surface<'_>) -> Result<(), Stop> {
    match effect {
        Effect::Log(changes) => {
            on.disk.append(changes);
            on.faults.boundary()?;
            if on.flaw != Flaw::LogNotSynced {
                on.disk.sync_log();
            }
        }
        Effect::Tell(change) => {
            on.outlets.send_alarm(&change);
            on.outlets.hear(&change)?;
        }
        Effect::Republish(change) => on.outlets.send_alarm(&change),
        Effect::Account(_, account) => {
            if !account.balances() {
                return Stop::violation(format!("an account does not balance: {account:?}"));
            }
            *on.account += account;
        }
        Effect::Note(generation, told) => {
            if on.flaw != Flaw::RowsNotNoted {
                on.disk.note(generation, told);
                on.faults.boundary()?;
                on.disk.sync_noted();
            }
        }
        Effect::Publish(rows) => on.outlets.send_rows(&rows),
        Effect::Withdraw(view, keys) => on.outlets.withdraw(&view, keys),
        Effect::Answer(_) | Effect::Refuse(_) | Effect::Watermark(_) | Effect::Risks(..) => {}
    }
    Ok(())
}

/// An effect in a trace.
fn told(effect: &Effect) -> String {
    let change = |change: &Alarm| {
        format!(
            "{} {} {} {:?} at {}",
            change.seq, change.rule, change.key, change.transition, change.changed_at
        )
    };
    match effect {
        Effect::Log(changes) => format!("log {}", changes.iter().map(change).collect::<Vec<_>>().join(", ")),
        Effect::Tell(one) => format!("tell {}", change(one)),
        Effect::Republish(one) => format!("republish {}", change(one)),
        Effect::Publish(rows) => format!(
            "publish {:?}, withdraw {:?}",
            view_rows(&rows.view, &rows.records),
            view_rows(&rows.view, &rows.withdrawn)
        ),
        other => format!("{other:?}"),
    }
}
