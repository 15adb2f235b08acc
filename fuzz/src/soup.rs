//! Random triangles through the voxelizer and the rasteriser.

use voxflow_contract::{Fill, Intrinsics, TriMesh};
use voxflow_geometry::{Fit, RenderOptions, Shading, camera_from_object, render as render_mesh};

/// Four bytes of choices, then vertices of three small or any coordinates, then triangles.
fn soup(bytes: &[u8]) -> Option<([u8; 4], TriMesh)> {
    let (choices, rest) = bytes.split_first_chunk::<4>()?;
    let count = 3 + usize::from(choices[3] % 61);
    let is_any = choices[3] & 0x80 != 0;
    let (vertices, corners) = rest.split_at_checked(count * if is_any { 12 } else { 3 })?;
    let vertices: Vec<[f32; 3]> = if is_any {
        let numbers = vertices.as_chunks().0.iter().map(|bytes| f32::from_le_bytes(*bytes));
        let finite: Vec<f32> = numbers.map(|x| if x.is_finite() { x } else { 0.0 }).collect();
        finite.as_chunks().0.to_vec()
    } else {
        let small = |vertex: &[u8; 3]| vertex.map(|byte| f32::from(byte.cast_signed()) / 16.0);
        vertices.as_chunks().0.iter().map(small).collect()
    };
    let corner = |corner: u8| u32::from(corner) % count as u32;
    let triangles = corners.as_chunks::<3>().0.iter().map(|three| three.map(corner)).collect();
    Some((*choices, TriMesh { vertices, triangles }))
}

/// The grid does not depend on the order of the triangles, and has no bit beyond its cells.
pub fn voxelize(bytes: &[u8]) {
    let Some(([resolution, fill, fit, _], mesh)) = soup(bytes) else { return };
    let resolution = 1 + usize::from(resolution % 64);
    let fill = Fill::ALL[usize::from(fill) % Fill::ALL.len()];
    let fits = [Fit::Binvox, Fit::Centered, Fit::UnitCube, Fit::Padded(0.1), Fit::PerAxis(0.05)];
    let fit = fits[usize::from(fit) % fits.len()];
    let Ok(grid) = voxflow_geometry::voxelize_mesh(&mesh, resolution, fill, fit) else { return };
    assert!(grid.occupied() <= resolution.pow(3) && grid.resolution == resolution);
    let reversed = TriMesh { triangles: mesh.triangles.iter().rev().copied().collect(), ..mesh };
    let again = voxflow_geometry::voxelize_mesh(&reversed, resolution, fill, fit);
    assert_eq!(again.expect("the same triangles"), grid);
}

/// Depth is where the picture is; triangles of coordinates that fill the range of numbers may lose it.
pub fn render(bytes: &[u8]) {
    let Some(([azimuth, distance, look, _], mesh)) = soup(bytes) else { return };
    let is_near = mesh.vertices.iter().flatten().all(|x| x.abs() < 1e6);
    let side = 1 + u32::from(look % 40);
    let (focal_px, center_px) = (f64::from(side), f64::from(side) / 2.0);
    let intrinsics = Intrinsics {
        focal_x_px: focal_px,
        focal_y_px: focal_px,
        center_x_px: center_px,
        center_y_px: center_px,
        width_px: side,
        height_px: side,
    };
    let options = RenderOptions {
        shading: [Shading::Flat, Shading::Smooth][usize::from(look >> 6 & 1)],
        antialias: 1 + u32::from(look >> 7),
        near: 0.1,
        ..RenderOptions::default()
    };
    let camera = camera_from_object(
        f64::from(azimuth),
        f64::from(distance) - 100.0,
        f64::from(distance) / 8.0,
    );
    let picture = render_mesh(&mesh, None, &camera, &intrinsics, &options);
    assert_eq!(picture.rgba.len(), 4 * picture.depth.len());
    for (pixel, depth) in picture.rgba.as_chunks::<4>().0.iter().zip(&picture.depth) {
        assert!(depth.is_finite() && *depth >= 0.0, "{pixel:?} {depth}");
        assert!(!is_near || (*depth > 0.0) == (pixel[3] > 0), "{pixel:?} {depth}");
    }
}
