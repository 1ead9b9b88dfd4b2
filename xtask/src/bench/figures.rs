//! Medians, spreads and percentiles.

/// Some measurements of the same thing.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Figures {
    /// The one in the middle, or between the two there.
    pub median: f64,
    /// The smallest.
    pub min: f64,
    /// The largest.
    pub max: f64,
}

impl Figures {
    /// `None` without any measurement.
    pub fn of(values: impl IntoIterator<Item = f64>) -> Option<Self> {
        let mut values: Vec<f64> = values.into_iter().collect();
        values.sort_by(f64::total_cmp);
        let (&min, &max) = (values.first()?, values.last()?);
        let middle = values.len() / 2;
        let median = if values.len() % 2 == 1 { values[middle] } else { (values[middle - 1] + values[middle]) / 2.0 };
        Some(Self { median, min, max })
    }

    /// Of the ratios of pairs measured in the same round, which share that round's disturbances.
    pub fn of_ratios(ours: impl IntoIterator<Item = f64>, theirs: impl IntoIterator<Item = f64>) -> Option<Self> {
        Self::of(ours.into_iter().zip(theirs).map(|(ours, theirs)| ours / theirs))
    }
}

/// The smallest of sorted values that so large a part of them does not exceed.
pub fn percentile(sorted: &[f64], part: f64) -> Option<f64> {
    let at = (sorted.len() as f64 * part).ceil() as usize;
    sorted.get(at.saturating_sub(1)).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_percentile_is_one_of_the_values() {
        let values: Vec<f64> = (1..=200).map(f64::from).collect();
        assert_eq!((percentile(&values, 0.5), percentile(&values, 0.99)), (Some(100.0), Some(198.0)));
        assert_eq!((percentile(&[7.0], 0.99), percentile(&[], 0.5)), (Some(7.0), None));
    }

    #[test]
    fn the_median_of_odd_and_even_numbers_of_values() {
        let median = |values: &[f64]| Figures::of(values.iter().copied()).map(|figures| figures.median);
        assert_eq!(median(&[]), None);
        assert_eq!(median(&[3.0]), Some(3.0));
        assert_eq!(median(&[3.0, 1.0, 2.0]), Some(2.0));
        assert_eq!(median(&[4.0, 1.0, 2.0, 3.0]), Some(2.5));
    }

    #[test]
    fn ratios_pair_what_was_measured_in_the_same_round() {
        let ratios = Figures::of_ratios([1.0, 20.0, 3.0], [2.0, 20.0, 4.0]);
        assert_eq!(ratios, Some(Figures { median: 0.75, min: 0.5, max: 1.0 }));
    }
}
