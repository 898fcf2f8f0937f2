//! Whether two alarms say the same. A log holds numbers as text, and the last bit of one that is read back may be
//! another: that is no news to anybody.

use hexwatch_contract::alarm::{Alarm, Explain};
use serde_json::{Map, Value};

/// Whether `one` says what `other` says. (What explains an alarm follows from what was measured.)
pub(crate) fn is_like(one: &Alarm, other: &Alarm) -> bool {
    one == other
        || (without_numbers(one) == without_numbers(other)
            && is_near(one.lon, other.lon)
            && is_near(one.lat, other.lat)
            && are_alike(&one.measured, &other.measured))
}

fn without_numbers(alarm: &Alarm) -> Alarm {
    let (measured, explain) = (Map::new(), Explain::default());
    Alarm { lon: None, lat: None, measured, explain, ..alarm.clone() }
}

fn are_alike(one: &Map<String, Value>, other: &Map<String, Value>) -> bool {
    let same = |(name, value): (&String, &Value)| other.get(name).is_some_and(|other| alike(value, other));
    one.len() == other.len() && one.iter().all(same)
}

fn alike(one: &Value, other: &Value) -> bool {
    match (one, other) {
        (Value::Number(one), Value::Number(other)) if one.is_f64() && other.is_f64() => {
            is_near(one.as_f64(), other.as_f64())
        }
        (Value::Object(one), Value::Object(other)) => are_alike(one, other),
        _ => one == other,
    }
}

fn is_near(one: Option<f64>, other: Option<f64>) -> bool {
    match (one, other) {
        (Some(one), Some(other)) => (one - other).abs() <= 4.0 * f64::EPSILON * one.abs().max(other.abs()),
        _ => one.is_none() && other.is_none(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_last_bit_of_a_number_is_no_news_and_anything_more_is() {
        let number = 0.1 + 0.2;
        assert!(alike(&json!({ "slope": number }), &json!({ "slope": 0.3 })));
        for other in [json!(0.300_000_1), json!(-0.3), json!("0.3"), json!(null)] {
            assert!(!alike(&json!({ "slope": number }), &json!({ "slope": other })), "{other}");
        }
        assert!(!alike(&json!(3), &json!(4)) && !alike(&json!({}), &json!({ "slope": 0.3 })));
        assert!(is_near(Some(0.0), Some(0.0)) && !is_near(Some(0.0), None));
    }
}
