//! Arithmetic of reports: medians, ratios, and how numbers are written.

/// The middle of `values`; between the two middle ones if they are even in number.
#[must_use]
pub fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    let (below, above) = (values.len().saturating_sub(1) / 2, values.len() / 2);
    Some(f64::midpoint(*values.get(below)?, *values.get(above)?))
}

/// The nearest number with a fraction; exact up to 2^53.
#[must_use]
#[expect(clippy::cast_precision_loss, reason = "2^53 bytes or nanoseconds are never reached")]
pub fn float(count: u64) -> f64 {
    count as f64
}

/// A number with so many digits behind the point, or a dash.
#[must_use]
pub fn shown(value: Option<f64>, digits: usize) -> String {
    value.map_or_else(|| "–".to_owned(), |value| format!("{value:.digits$}"))
}

/// Appends a line.
pub fn line(text: &mut String, content: std::fmt::Arguments<'_>) {
    use std::fmt::Write as _;
    // Writing to a String can't fail.
    let _infallible = writeln!(text, "{content}");
}

/// One value per round, `None` where there is none.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Series(pub Vec<Option<f64>>);

impl Series {
    /// The median over the rounds that have a value.
    #[must_use]
    pub fn median(&self) -> Option<f64> {
        median(self.0.iter().copied().flatten().collect())
    }

    /// The median of the ratios to `other`, taken round by round.
    ///
    /// Neighbours in time share the machine's mood; medians of each do not.
    #[must_use]
    pub fn ratio_to(&self, other: &Self) -> Option<f64> {
        self.paired(other, |own, their| own / their)
    }

    /// The median of the differences to `other`, taken round by round.
    #[must_use]
    pub fn above(&self, other: &Self) -> Option<f64> {
        self.paired(other, |own, their| own - their)
    }

    fn paired(&self, other: &Self, with: impl Fn(f64, f64) -> f64) -> Option<f64> {
        let pairs = self.0.iter().zip(&other.0);
        let both = pairs.filter_map(|(own, their)| Some(with((*own)?, (*their)?)));
        median(both.filter(|value| value.is_finite()).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_median_is_in_the_middle() {
        assert_eq!(median(vec![]), None);
        assert_eq!(median(vec![3.0, 1.0, 2.0]), Some(2.0));
        assert_eq!(median(vec![4.0, 1.0, 2.0, 3.0]), Some(2.5));
    }

    #[test]
    fn pairs_are_of_the_same_round_and_lost_rounds_are_left_out() {
        let own = Series(vec![Some(1.0), None, Some(30.0)]);
        let their = Series(vec![Some(2.0), Some(5.0), Some(10.0)]);
        // 1/2 and 30/10; medians of each would say 15.5 / 5.
        assert_eq!(own.ratio_to(&their), Some(1.75));
        assert_eq!(own.above(&their), Some(9.5));
        assert_eq!(own.median(), Some(15.5));
    }

    #[test]
    fn nothing_is_divided_by_zero() {
        let own = Series(vec![Some(1.0), Some(3.0)]);
        assert_eq!(own.ratio_to(&Series(vec![Some(0.0), Some(2.0)])), Some(1.5));
        assert_eq!(own.ratio_to(&Series::default()), None);
    }

    #[test]
    fn a_missing_number_is_a_dash() {
        assert_eq!(shown(Some(1.25), 1), "1.2");
        assert_eq!(shown(None, 1), "–");
    }
}
