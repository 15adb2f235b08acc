//! Normals of vertices, as files have them, to unit length.

/// Scales normals to unit length; nothing when one has none.
pub(crate) fn units(mut normals: Vec<[f32; 3]>, quirks: &mut Vec<String>) -> Vec<[f32; 3]> {
    for normal in &mut normals {
        let length = normal.iter().map(|x| f64::from(*x).powi(2)).sum::<f64>().sqrt();
        if !(length > 0.0 && length.is_finite()) {
            quirks.push("normals passed over, some have no length".to_owned());
            return Vec::new();
        }
        *normal = normal.map(|x| (f64::from(x) / length) as f32);
    }
    normals
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_or_none() {
        let mut quirks = Vec::new();
        let normals = units(vec![[0.0, 3.0, 4.0], [-1e-30, 0.0, 0.0]], &mut quirks);
        assert_eq!((normals, quirks.len()), (vec![[0.0, 0.6, 0.8], [-1.0, 0.0, 0.0]], 0));
        for odd in [0.0, f32::NAN, f32::INFINITY] {
            assert_eq!(units(vec![[1.0, 0.0, 0.0], [odd, 0.0, 0.0]], &mut quirks), [[0.0; 3]; 0]);
        }
        assert_eq!(quirks.len(), 3);
    }
}
