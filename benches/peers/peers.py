"""The same work as voxflow's kernels, done by other programs. Each peer is a function of a mesh that gives a function
to time; what is outside of the timing is done before. Imported only after the process is tied to one core."""

import dataclasses
import importlib.metadata
import math

import numpy as np

PACKAGES = ["open3d-cpu", "open3d", "vtk", "trimesh", "point-cloud-utils", "embreex", "numpy", "pillow", "pyarrow"]


def versions():
    found = {}
    for package in PACKAGES:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            pass
    return found


@dataclasses.dataclass
class Mesh:
    """In the unit cube from -0.5 to 0.5: float32 `vertices` [n, 3], int32 `triangles` [m, 3]."""

    vertices: np.ndarray
    triangles: np.ndarray


@dataclasses.dataclass
class Rig:
    """MVCNN's twelve views; OpenCV cameras (x right, y down, z forward)."""

    size: int
    fov_y_deg: float = 40.0
    elevation_deg: float = 30.0
    views: int = 12

    @property
    def distance(self):
        return 0.5 * math.sqrt(3) / math.sin(0.5 * math.radians(self.fov_y_deg))

    def camera_from_object(self):
        """[views, 4, 4]."""
        poses = []
        for view in range(self.views):
            a, e = math.radians(360 / self.views * view), math.radians(self.elevation_deg)
            right = [math.cos(a), 0, -math.sin(a), 0]
            down = [math.sin(e) * math.sin(a), -math.cos(e), math.sin(e) * math.cos(a), 0]
            forward = [-math.cos(e) * math.sin(a), -math.sin(e), -math.cos(e) * math.cos(a), self.distance]
            poses.append([right, down, forward, [0, 0, 0, 1]])
        return np.array(poses)

    def intrinsics(self):
        focal = 0.5 * self.size / math.tan(0.5 * math.radians(self.fov_y_deg))
        return np.array([[focal, 0, self.size / 2], [0, focal, self.size / 2], [0, 0, 1]])


def cell_centers(resolution):
    """[resolution ** 3, 3], x slowest, as our grids."""
    line = (np.arange(resolution) + 0.5) / resolution - 0.5
    return np.stack(np.meshgrid(line, line, line, indexing="ij"), axis=-1).reshape(-1, 3).astype(np.float32)


# Each peer takes a mesh and parameters and gives (work, read): `work()` is timed, `read(result)` gives what is compared.


def open3d_mesh(mesh):
    import open3d as o3d

    return o3d.geometry.TriangleMesh(
        o3d.utility.Vector3dVector(mesh.vertices.astype(np.float64)), o3d.utility.Vector3iVector(mesh.triangles))


def open3d_surface(mesh, resolution):
    import open3d as o3d

    shape, low, high = open3d_mesh(mesh), np.full(3, -0.5), np.full(3, 0.5)

    def work():
        return o3d.geometry.VoxelGrid.create_from_triangle_mesh_within_bounds(shape, 1 / resolution, low, high)

    def read(grid):
        cells = np.zeros((resolution,) * 3, bool)
        index = np.array([voxel.grid_index for voxel in grid.get_voxels()]).reshape(-1, 3)
        cells[tuple(index[((index >= 0) & (index < resolution)).all(axis=1)].T)] = True
        return cells

    return work, read


def trimesh_surface(mesh, resolution):
    import trimesh

    shape = trimesh.Trimesh(mesh.vertices, mesh.triangles, process=False)

    def read(grid):
        cells = np.zeros((resolution,) * 3, bool)
        points = np.floor((grid.points + 0.5) * resolution + 1e-9).astype(int)
        cells[tuple(points[((points >= 0) & (points < resolution)).all(axis=1)].T)] = True
        return cells

    return lambda: shape.voxelized(1 / resolution), read


def open3d_scene(mesh):
    import open3d as o3d

    scene = o3d.t.geometry.RaycastingScene(nthreads=1)
    scene.add_triangles(o3d.core.Tensor(mesh.vertices), o3d.core.Tensor(mesh.triangles.astype(np.uint32)))
    return scene


def open3d_solid(mesh, resolution):
    import open3d as o3d

    centers = o3d.core.Tensor(cell_centers(resolution))

    def work():
        return open3d_scene(mesh).compute_occupancy(centers, nthreads=1, nsamples=1)

    return work, lambda result: result.numpy().reshape((resolution,) * 3) > 0.5


def vtk_polydata(mesh):
    import vtk
    from vtk.util.numpy_support import numpy_to_vtk, numpy_to_vtkIdTypeArray

    points = vtk.vtkPoints()
    points.SetData(numpy_to_vtk(mesh.vertices, deep=True))
    cells = vtk.vtkCellArray()
    offsets = np.arange(len(mesh.triangles) + 1, dtype=np.int64) * 3
    corners = mesh.triangles.reshape(-1).astype(np.int64)
    cells.SetData(numpy_to_vtkIdTypeArray(offsets, deep=True), numpy_to_vtkIdTypeArray(corners, deep=True))
    data = vtk.vtkPolyData()
    data.SetPoints(points)
    data.SetPolys(cells)
    return data


def vtk_solid(mesh, resolution):
    import vtk
    from vtk.util.numpy_support import vtk_to_numpy

    data = vtk_polydata(mesh)

    def work():
        stencil = vtk.vtkPolyDataToImageStencil()
        stencil.SetInputData(data)
        stencil.SetOutputSpacing(*[1 / resolution] * 3)
        stencil.SetOutputOrigin(*[0.5 / resolution - 0.5] * 3)
        stencil.SetOutputWholeExtent(*[0, resolution - 1] * 3)
        stencil.SetTolerance(0)
        image = vtk.vtkImageStencilToImage()
        image.SetInputConnection(stencil.GetOutputPort())
        image.SetInsideValue(1)
        image.SetOutsideValue(0)
        image.SetOutputScalarTypeToUnsignedChar()
        image.Update()
        return image.GetOutput()

    def read(image):
        return vtk_to_numpy(image.GetPointData().GetScalars()).reshape((resolution,) * 3).transpose(2, 1, 0) > 0

    return work, read


def trimesh_solid(mesh, resolution):
    import trimesh

    centers = cell_centers(resolution)

    def work():
        return trimesh.Trimesh(mesh.vertices, mesh.triangles, process=False).contains(centers)

    return work, lambda result: result.reshape((resolution,) * 3)


def pcu_solid(mesh, resolution):
    import point_cloud_utils as pcu

    centers, faces = cell_centers(resolution), mesh.triangles.astype(np.int32)

    def work():
        return pcu.triangle_soup_fast_winding_number(mesh.vertices, faces, centers)

    return work, lambda result: np.asarray(result).reshape((resolution,) * 3) > 0.5


def open3d_rays(rig):
    """Made outside of the timing, which favours Open3D."""
    import open3d as o3d

    create = o3d.t.geometry.RaycastingScene.create_rays_pinhole
    return [create(o3d.core.Tensor(rig.intrinsics()), o3d.core.Tensor(pose), rig.size, rig.size)
            for pose in rig.camera_from_object()]


def open3d_render(mesh, rig, with_build=True):
    rays = open3d_rays(rig)
    built = open3d_scene(mesh)
    built.cast_rays(rays[0], nthreads=1)

    def work():
        scene = open3d_scene(mesh) if with_build else built
        return [scene.cast_rays(view, nthreads=1) for view in rays]

    def read(answers):
        # The rays' z is 1 in the camera frame, so that t is the depth.
        depth = np.stack([answer["t_hit"].numpy() for answer in answers])
        return np.where(np.isfinite(depth), depth, 0)

    return work, read


def open3d_render_built(mesh, rig):
    return open3d_render(mesh, rig, with_build=False)


def vtk_window(size):
    import vtk

    window = vtk.vtkOSOpenGLRenderWindow()
    window.SetOffScreenRendering(1)
    window.SetMultiSamples(0)
    window.SetSize(size, size)
    return window


def gl_renderer():
    """What draws for VTK, as OpenGL names it."""
    window = vtk_window(16)
    window.Render()
    lines = window.ReportCapabilities().splitlines()
    return "; ".join(line.strip() for line in lines if line.lower().startswith("opengl") and "extension" not in line.lower())


class VtkStage:
    """A window and a camera that stand ready; `shoot` uploads a mesh, draws each view and reads RGB and depth back."""

    def __init__(self, rig):
        import vtk

        self.rig, self.window, self.renderer = rig, vtk_window(rig.size), vtk.vtkRenderer()
        self.near, self.far = rig.distance - 1, rig.distance + 1
        self.poses = rig.camera_from_object()
        self.window.AddRenderer(self.renderer)
        self.window.Render()
        self.renderer.GetActiveCamera().SetViewAngle(rig.fov_y_deg)

    def shoot(self, data):
        import vtk

        mapper = vtk.vtkPolyDataMapper()
        mapper.SetInputData(data)
        actor = vtk.vtkActor()
        actor.SetMapper(mapper)
        actor.GetProperty().SetInterpolationToFlat()
        self.renderer.AddActor(actor)
        pictures = [self.picture(pose) for pose in self.poses]
        self.renderer.RemoveActor(actor)
        return pictures

    def picture(self, pose):
        import vtk

        end, camera = self.rig.size - 1, self.renderer.GetActiveCamera()
        camera.SetPosition(*(-pose[:3, :3].T @ pose[:3, 3]))
        camera.SetFocalPoint(0, 0, 0)
        camera.SetViewUp(*-pose[1, :3])
        camera.SetClippingRange(self.near, self.far)
        self.window.Render()
        colors, depths = vtk.vtkUnsignedCharArray(), vtk.vtkFloatArray()
        self.window.GetPixelData(0, 0, end, end, 0, colors, 0)
        self.window.GetZbufferData(0, 0, end, end, depths)
        return colors, depths


def vtk_render(mesh, rig):
    """The window and the mesh as VTK has it stand already, which favours VTK."""
    from vtk.util.numpy_support import vtk_to_numpy

    data, stage = vtk_polydata(mesh), VtkStage(rig)
    near, far = stage.near, stage.far

    def read(pictures):
        shape = (rig.size, rig.size)
        buffer = np.stack([vtk_to_numpy(depths).reshape(shape)[::-1] for _, depths in pictures]).astype(np.float64)
        return np.where(buffer < 1, near * far / (far - buffer * (far - near)), 0)

    return lambda: stage.shoot(data), read


def vtk_render_new_window(mesh, rig):
    """As a script that opens a window for each mesh."""
    _, read = vtk_render(mesh, rig)
    return lambda: VtkStage(rig).shoot(vtk_polydata(mesh)), read


def open3d_decode(path):
    import open3d as o3d

    o3d.utility.set_verbosity_level(o3d.utility.VerbosityLevel.Error)
    return lambda: o3d.io.read_triangle_mesh(str(path)), lambda mesh: len(mesh.triangles)


def trimesh_decode(path):
    import trimesh

    def read(mesh):
        return len(mesh.faces)

    return lambda: trimesh.load(str(path), process=False, force="mesh"), read


# Op -> peers that the issue judges by, then second opinions.
PEERS = {
    "voxelize_surface": {"Open3D": open3d_surface},
    "voxelize_solid": {"VTK": vtk_solid, "Open3D": open3d_solid},
    "render": {"Open3D": open3d_render, "Open3D, scene built before": open3d_render_built, "VTK": vtk_render},
    "decode": {"trimesh": trimesh_decode, "Open3D": open3d_decode},
}
SECOND_OPINIONS = {
    "voxelize_surface": {"trimesh": trimesh_surface},
    "voxelize_solid": {"trimesh": trimesh_solid, "point-cloud-utils": pcu_solid},
    "render": {"VTK, new window": vtk_render_new_window},
    "decode": {},
}
