//! Places on earth, and the great-circle distances between places.
//!
//! The earth is a sphere here. That is wrong by 0.5 % at most, and a database's place of a client is wrong by more.
//! Distances are whole kilometres, so that two distances that are equal for any purpose are equal on every machine.
//!
//! **Invariants**: coordinates are on earth; a distance is never more than half of its circumference.
//! **Not here**: the places of clients ([`crate::networks`]), the choice of the nearest mirror ([`crate::steer`]).

/// A place on earth, in thousandths of a degree (about a hundred metres).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Coordinates {
    latitude: i32,
    longitude: i32,
}

/// The mean radius of the earth in kilometres (IUGG).
const RADIUS_KM: f64 = 6371.0088;

impl Coordinates {
    /// The place at these degrees north and east; `None` if no such place exists.
    pub fn from_degrees(latitude: f64, longitude: f64) -> Option<Self> {
        // The range makes the cast exact.
        let thousandths =
            |degrees: f64, limit: f64| (-limit..=limit).contains(&degrees).then(|| (degrees * 1000.0).round() as i32);
        Some(Coordinates { latitude: thousandths(latitude, 90.0)?, longitude: thousandths(longitude, 180.0)? })
    }

    /// Degrees north and east.
    pub(crate) fn degrees(self) -> (f64, f64) {
        (f64::from(self.latitude) / 1000.0, f64::from(self.longitude) / 1000.0)
    }

    /// The direction of the place from the centre of the earth.
    pub(crate) fn direction(self) -> Direction {
        let (latitude, longitude) = self.degrees();
        let ((up, out), (east, front)) = (latitude.to_radians().sin_cos(), longitude.to_radians().sin_cos());
        Direction([out * front, out * east, up])
    }
}

/// The direction of a place from the centre of the earth. A place is converted once and compared with many others.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Direction([f64; 3]);

/// A great-circle distance in whole kilometres.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Kilometres(pub(crate) u32);

impl Direction {
    /// The distance between two places.
    pub(crate) fn distance(self, other: Self) -> Kilometres {
        let chord_squared: f64 = self.0.iter().zip(other.0).map(|(a, b)| (a - b) * (a - b)).sum();
        let half_angle = (chord_squared.sqrt() / 2.0).min(1.0).asin();
        Kilometres((2.0 * RADIUS_KM * half_angle).round() as u32)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn place(latitude: f64, longitude: f64) -> Coordinates {
        Coordinates::from_degrees(latitude, longitude).unwrap()
    }

    /// The haversine formula, in kilometres.
    fn haversine(a: Coordinates, b: Coordinates) -> f64 {
        let ((lat_a, lon_a), (lat_b, lon_b)) = (a.degrees(), b.degrees());
        let half_chord = |a: f64, b: f64| ((a - b).to_radians() / 2.0).sin().powi(2);
        let h =
            half_chord(lat_a, lat_b) + lat_a.to_radians().cos() * lat_b.to_radians().cos() * half_chord(lon_a, lon_b);
        2.0 * 6371.0088 * h.min(1.0).sqrt().asin()
    }

    #[test]
    fn well_known_distances_are_right() {
        let (frankfurt, ashburn, tokyo) = (place(50.11, 8.68), place(39.04, -77.49), place(35.68, 139.69));
        let km = |a: Coordinates, b: Coordinates| a.direction().distance(b.direction()).0;
        assert_eq!((km(frankfurt, ashburn), km(frankfurt, tokyo)), (6549, 9333));
        assert_eq!((km(tokyo, tokyo), km(place(90.0, 0.0), place(-90.0, 77.0))), (0, 20015));
        // Two places across the date line are near.
        assert_eq!(km(place(0.0, 179.9), place(0.0, -179.9)), 22);
    }

    #[test]
    fn places_that_are_not_on_earth_are_none() {
        assert_eq!(Coordinates::from_degrees(90.001, 0.0), None);
        assert_eq!(Coordinates::from_degrees(0.0, -180.5), None);
        assert_eq!(Coordinates::from_degrees(f64::NAN, 0.0), None);
        assert_eq!(place(-90.0, 180.0).degrees(), (-90.0, 180.0));
    }

    proptest! {
        #[test]
        fn a_distance_is_that_of_the_haversine_formula(
            a in (-90_000..=90_000i32, -180_000..=180_000i32),
            b in (-90_000..=90_000i32, -180_000..=180_000i32),
        ) {
            let [a, b] = [a, b].map(|(latitude, longitude)| Coordinates { latitude, longitude });
            let found = f64::from(a.direction().distance(b.direction()).0);
            // Half a kilometre of rounding, and the error of the formulas near the antipodes.
            prop_assert!((found - haversine(a, b)).abs() < 0.51, "{} and {}", found, haversine(a, b));
            prop_assert_eq!(a.direction().distance(b.direction()), b.direction().distance(a.direction()));
        }
    }
}
