//! What is known of the values that a column or an expression has in some rows: never too little. Every operation
//! here gives at least the values that the rows' own values would give.

use datafusion::common::ScalarValue;

/// The values that may occur.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(crate) enum Values {
    /// None: every row has a null.
    Nothing,
    Anything,
    /// These words, each a bit of a [`Words`].
    OneOf(u64),
    /// Numbers from the first to the second, both included.
    Between(f64, f64),
    Truth {
        yes: bool,
        no: bool,
    },
}

/// The values that may occur, and whether a null may.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(crate) struct Known {
    pub(crate) null: bool,
    pub(crate) values: Values,
}

impl Known {
    pub(crate) const ANYTHING: Self = Self { null: true, values: Values::Anything };
    pub(crate) const NULL: Self = Self { null: true, values: Values::Nothing };
    /// No row, and so neither a value nor a null.
    pub(crate) const NO_ROW: Self = Self { null: false, values: Values::Nothing };

    pub(crate) const fn of(values: Values) -> Self {
        Self { null: false, values }
    }

    pub(crate) const fn truth(yes: bool, no: bool, null: bool) -> Self {
        let values = if yes || no { Values::Truth { yes, no } } else { Values::Nothing };
        Self { null, values }
    }

    /// A number from `least` to `most`; anything where one of them is not finite, because nothing is worked out with
    /// such numbers.
    pub(crate) fn between(least: f64, most: f64) -> Self {
        let is_known = least.is_finite() && most.is_finite();
        Self::of(if is_known { Values::Between(least, most) } else { Values::Anything })
    }

    pub(crate) fn of_scalar(scalar: &ScalarValue, words: &mut Words) -> Self {
        if scalar.is_null() {
            return Self::NULL;
        }
        match scalar {
            ScalarValue::Boolean(Some(value)) => Self::truth(*value, !*value, false),
            ScalarValue::Float64(Some(value)) => Self::between(*value, *value),
            _ => match (scalar.try_as_str().flatten(), integer(scalar)) {
                (Some(word), _) => Self::of(Values::OneOf(words.learn(word))),
                (_, Some(number)) => Self::between(number, number),
                _ => Self::of(Values::Anything),
            },
        }
    }

    /// What may occur in the rows of either.
    pub(crate) fn or(self, other: Self) -> Self {
        use Values as V;
        let values = match (self.values, other.values) {
            (V::Nothing, values) | (values, V::Nothing) => values,
            (V::OneOf(a), V::OneOf(b)) => V::OneOf(a | b),
            (V::Between(a, b), V::Between(c, d)) => V::Between(a.min(c), b.max(d)),
            (V::Truth { yes, no }, V::Truth { yes: also, no: neither }) => {
                V::Truth { yes: yes || also, no: no || neither }
            }
            _ => V::Anything,
        };
        Self { null: self.null || other.null, values }
    }

    pub(crate) fn or_null(self) -> Self {
        Self { null: true, ..self }
    }

    pub(crate) fn may_be_true(self) -> bool {
        !matches!(self.values, Values::Nothing | Values::Truth { yes: false, .. })
    }

    pub(crate) fn may_be_false(self) -> bool {
        !matches!(self.values, Values::Nothing | Values::Truth { no: false, .. })
    }

    /// Whether it is true in every row.
    pub(crate) fn is_true(self) -> bool {
        !self.null && self.may_be_true() && !self.may_be_false()
    }

    pub(crate) fn is_value(self) -> bool {
        self.values != Values::Nothing
    }

    pub(crate) fn and(self, other: Self) -> Self {
        let yes = self.may_be_true() && other.may_be_true();
        Self::truth(yes, self.may_be_false() || other.may_be_false(), self.null || other.null)
    }

    pub(crate) fn either(self, other: Self) -> Self {
        let no = self.may_be_false() && other.may_be_false();
        Self::truth(self.may_be_true() || other.may_be_true(), no, self.null || other.null)
    }

    pub(crate) fn negated(self) -> Self {
        Self::truth(self.may_be_false(), self.may_be_true(), self.null)
    }

    pub(crate) fn compared(self, comparison: Comparison, other: Self) -> Self {
        let null = self.null || other.null;
        if !self.is_value() || !other.is_value() {
            return Self { null, values: Values::Nothing };
        }
        let (yes, no) = outcomes(self.values, comparison, other.values);
        Self::truth(yes, no, null)
    }

    /// `self + other` of floats, or `self - other`. Rounding keeps the order of sums, so the bounds stay bounds.
    pub(crate) fn plus(self, other: Self, is_minus: bool) -> Self {
        let null = self.null || other.null;
        let sum = match (self.values, other.values) {
            (Values::Nothing, _) | (_, Values::Nothing) => Self::NO_ROW,
            (Values::Between(a, b), Values::Between(c, d)) if is_minus => Self::between(a - d, b - c),
            (Values::Between(a, b), Values::Between(c, d)) => Self::between(a + c, b + d),
            _ => Self::of(Values::Anything),
        };
        Self { null, ..sum }
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Comparison {
    Equal,
    Less,
    LessOrEqual,
}

/// Whether the comparison may hold, and whether it may fail. Numbers may have been rounded on their way into a
/// bound, which keeps their order but not their distance: bounds that touch count as either way.
fn outcomes(ours: Values, comparison: Comparison, theirs: Values) -> (bool, bool) {
    match (ours, comparison, theirs) {
        (Values::OneOf(a), Comparison::Equal, Values::OneOf(b)) => {
            let is_one_word = (a | b).is_power_of_two() && a | b != Words::OTHER;
            (a & b != 0, !is_one_word)
        }
        (Values::Between(a, b), Comparison::Equal, Values::Between(c, d)) => (a <= d && c <= b, true),
        (Values::Between(a, b), _, Values::Between(c, d)) => (a <= d, b >= c),
        _ => (true, true),
    }
}

/// A whole number; `None` for anything else, times among them, whose units differ.
#[allow(clippy::cast_precision_loss, reason = "rounding keeps the order, and that is all that is asked")]
fn integer(scalar: &ScalarValue) -> Option<f64> {
    match *scalar {
        ScalarValue::Int8(number) => number.map(f64::from),
        ScalarValue::Int16(number) => number.map(f64::from),
        ScalarValue::Int32(number) => number.map(f64::from),
        ScalarValue::Int64(number) => number.map(|number| number as f64),
        ScalarValue::UInt8(number) => number.map(f64::from),
        ScalarValue::UInt16(number) => number.map(f64::from),
        ScalarValue::UInt32(number) => number.map(f64::from),
        ScalarValue::UInt64(number) => number.map(|number| number as f64),
        _ => None,
    }
}

/// The words that a query names. Others are told apart from them, and not from each other.
#[derive(Clone, Debug, Default)]
pub(crate) struct Words(Vec<String>);

impl Words {
    /// Every word that the query does not name.
    pub(crate) const OTHER: u64 = 1 << 63;

    /// The bit of a word of the query.
    pub(crate) fn learn(&mut self, word: &str) -> u64 {
        let known = self.bit(word);
        if known != Self::OTHER || self.0.len() >= 63 {
            return known;
        }
        self.0.push(word.to_owned());
        self.bit(word)
    }

    /// The bits of all words of another query.
    pub(crate) fn learn_all(&mut self, other: &Self) {
        for word in &other.0 {
            self.learn(word);
        }
    }

    /// What is known in the bits of `from`, in those of these words.
    pub(crate) fn reworded(&self, known: Known, from: &Self) -> Known {
        let Values::OneOf(bits) = known.values else { return known };
        let is_one = |at: usize| bits & (1 << at) != 0;
        let mut own = from
            .0
            .iter()
            .enumerate()
            .filter(|(at, _)| is_one(*at))
            .fold(0, |own, (_, word)| own | self.bit(word));
        if bits & Self::OTHER != 0 {
            own |= Self::OTHER;
            // What `from` does not tell from others may be any word that it does not know.
            own |= self
                .0
                .iter()
                .filter(|word| from.bit(word) == Self::OTHER)
                .fold(0, |own, word| own | self.bit(word));
        }
        Known { values: Values::OneOf(own), ..known }
    }

    /// The bit of a word in a row.
    pub(crate) fn bit(&self, word: &str) -> u64 {
        self.0.iter().position(|known| known == word).map_or(Self::OTHER, |at| 1 << at)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Three-valued truth of one row.
    fn one(value: Option<bool>) -> Known {
        value.map_or(Known::NULL, |value| Known::truth(value, !value, false))
    }

    fn holds(known: Known, value: Option<bool>) -> bool {
        match value {
            None => known.null,
            Some(true) => known.may_be_true(),
            Some(false) => known.may_be_false(),
        }
    }

    proptest! {
        #[test]
        fn whatever_two_truths_give_is_known(
            a in any::<Option<bool>>(), b in any::<Option<bool>>(),
            beside_a in any::<Option<bool>>(), beside_b in any::<Option<bool>>(),
        ) {
            let (left, right) = (one(a).or(one(beside_a)), one(b).or(one(beside_b)));
            let and = match (a, b) {
                (Some(false), _) | (_, Some(false)) => Some(false),
                (Some(true), Some(true)) => Some(true),
                _ => None,
            };
            let either = match (a, b) {
                (Some(true), _) | (_, Some(true)) => Some(true),
                (Some(false), Some(false)) => Some(false),
                _ => None,
            };
            prop_assert!(holds(left.and(right), and));
            prop_assert!(holds(left.either(right), either));
            prop_assert!(holds(left.negated(), a.map(|a| !a)));
        }

        #[test]
        fn whatever_two_numbers_give_is_known(
            a in -9_i8..9, b in -9_i8..9, beside_a in -9_i8..9, beside_b in -9_i8..9,
        ) {
            let number = |number: i8| Known::between(number.into(), number.into());
            let (left, right) = (number(a).or(number(beside_a)), number(b).or(number(beside_b)));
            for (comparison, holds_of_a_and_b) in
                [(Comparison::Equal, a == b), (Comparison::Less, a < b), (Comparison::LessOrEqual, a <= b)]
            {
                prop_assert!(holds(left.compared(comparison, right), Some(holds_of_a_and_b)));
            }
            let within = |known: Known, number: i8| {
                matches!(known.values, Values::Between(least, most) if least <= number.into() && f64::from(number) <= most)
            };
            prop_assert!(within(left.plus(right, false), a + b));
            prop_assert!(within(left.plus(right, true), a - b));
        }
    }

    #[test]
    fn words_that_no_query_names_may_be_equal_and_may_differ() {
        let mut words = Words::default();
        let fire = Known::of(Values::OneOf(words.learn("fire")));
        let others = Known::of(Values::OneOf(words.bit("flood")));
        assert_eq!(fire.compared(Comparison::Equal, fire), Known::truth(true, false, false));
        assert_eq!(fire.compared(Comparison::Equal, others), Known::truth(false, true, false));
        assert_eq!(others.compared(Comparison::Equal, others), Known::truth(true, true, false));
    }

    #[test]
    fn a_query_with_more_words_than_bits_knows_less_and_nothing_wrong() {
        let mut words = Words::default();
        let bits: Vec<u64> = (0..70).map(|number| words.learn(&number.to_string())).collect();
        assert_eq!(bits[62], 1 << 62);
        assert_eq!(bits[63..], [Words::OTHER; 7]);
        assert_eq!(words.bit("69"), Words::OTHER, "as a row has it");
    }

    #[test]
    fn nothing_is_worked_out_with_what_is_no_finite_number() {
        assert_eq!(Known::between(f64::NAN, f64::NAN).values, Values::Anything);
        let huge = Known::between(f64::MAX, f64::MAX);
        assert_eq!(huge.plus(huge, false).values, Values::Anything);
    }
}
