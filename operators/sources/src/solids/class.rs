//! The classes of solids, and the door to make one of any of them.

use std::fmt;

use voxflow_contract::{Random, TriMesh};

use super::assembly::Assembly;
use super::{airplane, bed, car, chair, lamp, shelf, sofa, table};

/// Object `index` of a class: the same mesh for the same arguments, up to the last bit of the
/// platform's sine.
///
/// The mesh is in metres, +Y up, the front towards +Z. It consists of closed parts that face outward
/// and overlap; the object is their union. Objects of one class differ in what they are made of and
/// in their proportions, by factors of two and more.
pub fn solid(class: SolidClass, seed: u64, index: u64) -> TriMesh {
    let random = &mut Random::new(seed, &["synthetic", class.name(), &index.to_string()]);
    let assembly = match class {
        SolidClass::Airplane => airplane::airplane(random),
        SolidClass::Bed => bed::bed(random),
        SolidClass::Car => car::car(random),
        SolidClass::Chair => chair::chair(random),
        SolidClass::Lamp => lamp::lamp(random),
        SolidClass::Shelf => shelf::shelf(random),
        SolidClass::Sofa => sofa::sofa(random),
        SolidClass::Table => table::table(random),
    };
    Assembly::into_mesh(assembly)
}

/// A family of procedural solids.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SolidClass {
    /// Airliners, light aircraft, biplanes, deltas, gliders.
    Airplane,
    /// Single, double, bunk and four-poster beds.
    Bed,
    /// Saloons, hatchbacks, vans, pick-ups, buses, lorries, sports cars.
    Car,
    /// Chairs, stools, armchairs, office chairs.
    Chair,
    /// Floor, desk, table and pendant lamps.
    Lamp,
    /// Bookcases, open racks, cube grids, ladder shelves.
    Shelf,
    /// Sofas of one to four seats, with and without a chaise.
    Sofa,
    /// Tables, desks, trestles, round tables on a foot.
    Table,
}

impl SolidClass {
    /// All classes, sorted by name.
    pub const ALL: &'static [Self] = &[
        Self::Airplane,
        Self::Bed,
        Self::Car,
        Self::Chair,
        Self::Lamp,
        Self::Shelf,
        Self::Sofa,
        Self::Table,
    ];

    /// Name in parameters, sample ids and folders.
    pub fn name(self) -> &'static str {
        match self {
            Self::Airplane => "airplane",
            Self::Bed => "bed",
            Self::Car => "car",
            Self::Chair => "chair",
            Self::Lamp => "lamp",
            Self::Shelf => "shelf",
            Self::Sofa => "sofa",
            Self::Table => "table",
        }
    }

    /// The class called `name`.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|class| class.name() == name)
    }
}

impl fmt::Display for SolidClass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
