//! `dilate`: grids grown by their neighbours.

use voxflow_contract::{BuildContext, Inputs, Kind, ParamError, Params, Stage};

use crate::kernels::dilate;
use crate::morphology::{Morphology, MorphologyParams};

/// `dilate` as a pipeline names it.
#[derive(Debug, Clone, Copy)]
pub struct DilateKind;

impl Kind for DilateKind {
    fn name(&self) -> &'static str {
        "dilate"
    }

    fn summary(&self) -> &'static str {
        "Adds to every grid the neighbours of its occupied cells."
    }

    fn manual(&self) -> &'static str {
        "Takes table `voxels`, gives table `voxels`; frame and `fill` stay.\n\n\
         A cell is occupied afterwards when it or one of its neighbours was, `rounds` times. \
         Beyond the border of the grid all is empty, and what would grow past it is cut off. A \
         grid without an occupied cell stays as it is. `neighbours` is `faces` (6 cells) or \
         `corners` (26).\n\n\
         Grids of another resolution than `resolution` are refused (`resolution`), as the table \
         has one shape for all rows.\n\n\
         Cost: a few operations on words of 64 cells each round."
    }

    fn version(&self) -> u32 {
        1
    }

    fn inputs(&self) -> Inputs {
        Inputs::Tables(&["voxels"])
    }

    fn output(&self) -> &'static str {
        "voxels"
    }

    fn example(&self) -> &'static str {
        "[[stage]]\nid = \"dilated\"\nuse = \"dilate\"\nfrom = \"grids\"\nrounds = 1\n"
    }

    fn parameters(&self) -> schemars::Schema {
        schemars::schema_for!(MorphologyParams)
    }

    fn build(&self, params: &Params, _context: &BuildContext) -> Result<Stage, Vec<ParamError>> {
        Morphology::build(params, dilate)
    }
}
