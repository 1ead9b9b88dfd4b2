//! Medians and spreads.

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

#[cfg(test)]
mod tests {
    use super::*;

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
