//! Accessors: rows of numbers in buffers, measured before they are read.

use gltf_json::accessor::{Accessor, ComponentType, GenericComponentType, Type};
use gltf_json::validation::Checked;

use super::{Document, fault, no_such};
use crate::error::FormatError;

/// Elements that may still be read: buffer views may overlap and be named many times, so that what
/// they hold together is not bounded by the file.
#[derive(Debug)]
pub(super) struct Budget {
    left: u64,
}

/// Elements that every file may have, however small it is.
const ALWAYS: u64 = 1 << 12;
/// Elements for each byte of input.
const FOR_EACH_BYTE: u64 = 4;

impl Budget {
    /// For a document.
    pub(super) fn new(document: &Document<'_>) -> Self {
        Self { left: ALWAYS + FOR_EACH_BYTE * document.input_len as u64 }
    }

    /// Takes `count` elements.
    ///
    /// # Errors
    /// `too_large` when so many are not left.
    pub(super) fn take(&mut self, count: u64, what: &str) -> Result<(), FormatError> {
        match self.left.checked_sub(count) {
            Some(left) => {
                self.left = left;
                Ok(())
            }
            None => {
                let message = format_args!(
                    "{what}: the scene has more than {FOR_EACH_BYTE} elements for each byte of input"
                );
                Err(fault("too_large", message))
            }
        }
    }
}

/// The sort of an accessor's elements.
#[derive(Debug, Clone, Copy)]
struct Layout {
    component: ComponentType,
    components: usize,
}

impl Layout {
    fn of(number: usize, accessor: &Accessor) -> Result<Self, FormatError> {
        let (
            Checked::Valid(GenericComponentType(component)),
            Checked::Valid(kind @ (Type::Scalar | Type::Vec2 | Type::Vec3 | Type::Vec4)),
        ) = (&accessor.component_type, &accessor.type_)
        else {
            return Err(bad(number, "its type is neither scalar nor vector"));
        };
        let components = match kind {
            Type::Vec2 => 2,
            Type::Vec3 => 3,
            Type::Vec4 => 4,
            _ => 1,
        };
        Ok(Self { component: *component, components })
    }

    fn element_len(self) -> usize {
        self.components * component_len(self.component)
    }
}

fn component_len(component: ComponentType) -> usize {
    match component {
        ComponentType::I8 | ComponentType::U8 => 1,
        ComponentType::I16 | ComponentType::U16 => 2,
        ComponentType::U32 | ComponentType::F32 => 4,
    }
}

/// Elements that lie in a buffer, all of them within it.
#[derive(Debug, Clone, Copy)]
struct Rows<'a> {
    bytes: &'a [u8],
    stride: usize,
    count: usize,
    layout: Layout,
}

impl<'a> Rows<'a> {
    /// Measures `count` elements from byte `start` of a buffer view.
    fn of(
        number: usize,
        (view, stride): (&'a [u8], Option<usize>),
        start: u64,
        count: u64,
        layout: Layout,
    ) -> Result<Self, FormatError> {
        let len = layout.element_len();
        let stride = stride.unwrap_or(len);
        if stride < len {
            return Err(bad(number, format_args!("elements of {len} bytes lie {stride} apart")));
        }
        let fits = || {
            let (start, count) = (usize::try_from(start).ok()?, usize::try_from(count).ok()?);
            let bytes = view.get(start..)?;
            let needed = match count {
                0 => 0,
                _ => (count - 1).checked_mul(stride)?.checked_add(len)?,
            };
            (needed <= bytes.len()).then_some(Self { bytes, stride, count, layout })
        };
        fits().ok_or_else(|| {
            let found = view.len();
            let message = format_args!(
                "{count} elements of {len} bytes from byte {start} do not fit in {found} bytes"
            );
            bad(number, message)
        })
    }

    /// All components one after the other, each of `N` bytes.
    fn push<const N: usize, T>(self, all: &mut Vec<T>, from: impl Fn(&[u8; N]) -> T) {
        let len = self.layout.element_len();
        all.reserve(self.count * self.layout.components);
        if self.stride == len {
            all.extend(self.bytes[..self.count * len].as_chunks().0.iter().map(from));
            return;
        }
        for element in 0..self.count {
            let element = &self.bytes[element * self.stride..][..len];
            all.extend(element.as_chunks().0.iter().map(&from));
        }
    }

    /// All components as numbers; whole ones scaled to -1 to 1 or 0 to 1 where `normalized`.
    fn push_numbers(self, normalized: bool, numbers: &mut Vec<f32>) {
        let scaled = |number: f32, largest: f32| match normalized {
            true => (number / largest).max(-1.0),
            false => number,
        };
        match self.layout.component {
            ComponentType::I8 => {
                self.push(numbers, |[byte]| scaled(f32::from(byte.cast_signed()), 127.0));
            }
            ComponentType::U8 => self.push(numbers, |[byte]| scaled(f32::from(*byte), 255.0)),
            ComponentType::I16 => {
                self.push(numbers, |b| scaled(f32::from(i16::from_le_bytes(*b)), 32_767.0));
            }
            ComponentType::U16 => {
                self.push(numbers, |b| scaled(f32::from(u16::from_le_bytes(*b)), 65_535.0));
            }
            ComponentType::U32 => self.push(numbers, |b| u32::from_le_bytes(*b) as f32),
            ComponentType::F32 => self.push(numbers, |b| f32::from_le_bytes(*b)),
        }
    }

    /// All components as whole numbers; `None` where they are signed or no whole numbers.
    fn push_indices(self, indices: &mut Vec<u32>) -> Option<()> {
        match self.layout.component {
            ComponentType::U8 => self.push(indices, |[byte]| u32::from(*byte)),
            ComponentType::U16 => self.push(indices, |b| u32::from(u16::from_le_bytes(*b))),
            ComponentType::U32 => self.push(indices, |b| u32::from_le_bytes(*b)),
            ComponentType::I8 | ComponentType::I16 | ComponentType::F32 => return None,
        }
        Some(())
    }
}

/// Vectors that an accessor holds.
#[derive(Debug)]
pub(super) struct Vectors {
    /// Numbers of each vector.
    pub(super) components: usize,
    /// All numbers, vector by vector.
    pub(super) numbers: Vec<f32>,
}

impl Vectors {
    /// Number of vectors.
    pub(super) fn len(&self) -> usize {
        self.numbers.len() / self.components
    }
}

/// Reads an accessor of numbers, sparse values put in their places.
///
/// # Errors
/// `bad_index`, `bad_accessor`, `too_large`, or why its buffer is not there.
pub(super) fn read_vectors(
    document: &Document<'_>,
    number: usize,
    budget: &mut Budget,
) -> Result<Vectors, FormatError> {
    let accessor = find(document, number, budget)?;
    let layout = Layout::of(number, accessor)?;
    let mut numbers = Vec::new();
    match rows(document, number, accessor, layout)? {
        Some(rows) => rows.push_numbers(accessor.normalized, &mut numbers),
        // Within the budget, so it fits.
        None => numbers.resize(accessor.count.0 as usize * layout.components, 0.0),
    }
    if let Some((places, values)) = sparse(document, number, accessor, layout)? {
        let mut news = Vec::new();
        values.push_numbers(accessor.normalized, &mut news);
        put(&mut numbers, layout.components, &places, &news);
    }
    Ok(Vectors { components: layout.components, numbers })
}

/// Reads an accessor of vertex numbers.
///
/// # Errors
/// As [`read_vectors`].
pub(super) fn read_indices(
    document: &Document<'_>,
    number: usize,
    budget: &mut Budget,
) -> Result<Vec<u32>, FormatError> {
    let accessor = find(document, number, budget)?;
    let layout = Layout::of(number, accessor)?;
    let wrong = || bad(number, "vertex numbers must be unsigned whole numbers, one an element");
    if layout.components != 1 {
        return Err(wrong());
    }
    let mut indices = Vec::new();
    match rows(document, number, accessor, layout)? {
        Some(rows) => rows.push_indices(&mut indices).ok_or_else(wrong)?,
        None => indices.resize(accessor.count.0 as usize, 0),
    }
    if let Some((places, values)) = sparse(document, number, accessor, layout)? {
        let mut news = Vec::new();
        values.push_indices(&mut news).ok_or_else(wrong)?;
        put(&mut indices, 1, &places, &news);
    }
    Ok(indices)
}

fn find<'d>(
    document: &'d Document<'_>,
    number: usize,
    budget: &mut Budget,
) -> Result<&'d Accessor, FormatError> {
    let accessors = &document.root.accessors;
    let accessor =
        accessors.get(number).ok_or_else(|| no_such("accessor", number, accessors.len()))?;
    budget.take(accessor.count.0, &format!("accessor {number}"))?;
    Ok(accessor)
}

/// The elements of an accessor that has a buffer view; without one all are zero.
fn rows<'d>(
    document: &'d Document<'_>,
    number: usize,
    accessor: &Accessor,
    layout: Layout,
) -> Result<Option<Rows<'d>>, FormatError> {
    let Some(view) = &accessor.buffer_view else { return Ok(None) };
    let start = accessor.byte_offset.map_or(0, |offset| offset.0);
    Rows::of(number, document.view(view.value())?, start, accessor.count.0, layout).map(Some)
}

/// The places and the new values of a sparse accessor.
fn sparse<'d>(
    document: &'d Document<'_>,
    number: usize,
    accessor: &Accessor,
    layout: Layout,
) -> Result<Option<(Vec<u32>, Rows<'d>)>, FormatError> {
    let Some(sparse) = &accessor.sparse else { return Ok(None) };
    let count = sparse.count.0;
    if count > accessor.count.0 {
        return Err(bad(number, "it replaces more elements than it has"));
    }
    let Checked::Valid(component) = &sparse.indices.component_type else {
        return Err(bad(number, "the places it replaces are no whole numbers"));
    };
    let (indices, values) = (&sparse.indices, &sparse.values);
    let of_places = Layout { component: component.0, components: 1 };
    let view = |number: usize| document.view(number).map(|(bytes, _)| (bytes, None));
    let places_view = view(indices.buffer_view.value())?;
    let rows = Rows::of(number, places_view, indices.byte_offset.0, count, of_places)?;
    let mut places = Vec::new();
    let wrong = || bad(number, "the places it replaces are no places it has");
    rows.push_indices(&mut places).ok_or_else(wrong)?;
    if places.iter().any(|place| u64::from(*place) >= accessor.count.0) {
        return Err(wrong());
    }
    let values =
        Rows::of(number, view(values.buffer_view.value())?, values.byte_offset.0, count, layout)?;
    Ok(Some((places, values)))
}

fn put<T: Copy>(all: &mut [T], components: usize, places: &[u32], news: &[T]) {
    for (place, new) in places.iter().zip(news.chunks_exact(components)) {
        all[*place as usize * components..][..components].copy_from_slice(new);
    }
}

fn bad(number: usize, why: impl std::fmt::Display) -> FormatError {
    fault("bad_accessor", format_args!("accessor {number}: {why}"))
}
