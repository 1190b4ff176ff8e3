"""The systemd guest's command line, its job disk, and how it is listened to, without booting one."""

from __future__ import annotations

import socket
import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from emu.errors import EXIT_BAD_INPUT, EmuError
from emu.machine import toplevel
from emu.sandbox.qemu import accelerator
from emu.sandbox.qemu import image as disks
from emu.sandbox.qemu.__main__ import main
from emu.sandbox.qemu.guest import Disk, Machine, qemu_command_line, scratch_directory
from emu.sandbox.qemu.image import GuestImage
from emu.sandbox.qemu.job import STDIN_NAME as NAME
from emu.sandbox.qemu.job import Job, Share, copy_program, copy_project, write_job
from emu.sandbox.qemu.listener import PORTS, GuestError, Listener, Outcome


@pytest.mark.parametrize("wrong", [["--memory", "x"], ["--timeout", "soon"]])
def test_a_wrong_option_is_no_defect(wrong: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """The error names it, as emu's own commands do, and nothing is booted."""
    assert toplevel.run(partial(main, ["run", *wrong, "--", "true"], standalone_mode=False)) == EXIT_BAD_INPUT
    printed = capsys.readouterr().err
    assert "Usage:" in printed and wrong[-1] in printed


def options(words: list[str], name: str) -> list[str]:
    """The values that follow each `name` in a command line."""
    return [words[at + 1] for at, word in enumerate(words) if word == name]


@pytest.fixture
def command_line(tmp_path: Path) -> list[str]:
    """A guest's, with a kept disk, one that is not, and a share of each kind."""
    shares = [Share(tmp_path / "in", "/in"), Share(tmp_path / "a,b", "/results", writable=True)]
    return qemu_command_line(
        GuestImage(tmp_path / "image", python="3.11"),
        accelerator.TCG,
        Machine(memory_bytes=3 * 2**30, cpus=4),
        [Disk(tmp_path / "root.ext4"), Disk(tmp_path / "job.ext4", kept=True)],
        {"emu.out": 7},
        shares,
        tmp_path / "console.log",
    )


def test_shared_disks_are_not_written_to(command_line: list[str]) -> None:
    """Only a disk said to be kept takes the guest's writes; the others' go to a file that vanishes."""
    root, job = options(command_line, "-drive")
    assert "root.ext4" in root
    assert "snapshot=on" in root
    assert "job.ext4" in job
    assert "snapshot=off" in job


def test_shares_are_read_only_unless_said(command_line: list[str]) -> None:
    """9p shares are distinguished by number, and a comma in a path is doubled as QEMU wants it."""
    first, second = options(command_line, "-virtfs")
    assert "mount_tag=share0" in first
    assert "readonly=on" in first
    assert "mount_tag=share1" in second
    assert "readonly=off" in second
    assert "/a,,b," in second


def test_the_kernel_is_asked_for_psi(command_line: list[str]) -> None:
    """Debian's kernel has PSI and leaves it off; a panic ends the guest and does not boot it again."""
    (append,) = options(command_line, "-append")
    assert {"psi=1", "panic=-1"} <= set(append.split())
    assert "-no-reboot" in command_line
    assert options(command_line, "-nic") == ["none"]


def test_the_job_disk_holds_mounts_and_command(tmp_path: Path) -> None:
    """run.sh finds one line a share, and a command whose words are quoted for a shell, its environment set first."""
    (tmp_path / "project").mkdir()
    job = Job(["echo", "two words", "$HOME"], {"A": "it's"}, [Share(tmp_path, "/in")])
    write_job(tmp_path, job, keep_docker=False)
    assert (tmp_path / "mounts").read_text() == "share0 ro /in\n"
    script = (tmp_path / "command.sh").read_text().replace("cd /job/project", f"cd {tmp_path}")
    said = subprocess.run(["sh", "-c", script + "\n"], capture_output=True, text=True, check=True, env={}).stdout
    assert said == "two words $HOME\n"
    assert """export A='it'"'"'s'""" in script
    assert not (tmp_path / "keep-docker").exists()
    assert not (tmp_path / "no-docker").exists()


def test_the_guest_gets_the_working_tree(tmp_path: Path) -> None:
    """Uncommitted files go along; what git ignores, and files deleted but still in the index, do not."""
    project = tmp_path / "project"
    project.mkdir()
    for name in ("kept.py", "ignored.log", "deleted.py"):
        (project / name).write_text("1\n")
    (project / ".gitignore").write_text("*.log\n")
    subprocess.run(["git", "init", "-q", str(project)], check=True)
    subprocess.run(["git", "-C", str(project), "add", "deleted.py"], check=True)
    (project / "deleted.py").unlink()
    copy_project(project, tmp_path / "copy", python="0.0")
    assert sorted(path.name for path in (tmp_path / "copy").iterdir()) == [".gitignore", "kept.py"]


def test_an_unpacked_archive_is_copied_too(tmp_path: Path) -> None:
    """Without git, the directories that tools make are left out; byte code that fits the guest comes along."""
    project = tmp_path / "project"
    (project / "emu").mkdir(parents=True)
    (project / "emu/a.py").write_text("1\n")
    (project / ".venv").mkdir()
    copy_project(project, tmp_path / "copy", python=f"{sys.version_info.major}.{sys.version_info.minor}")
    assert [path.name for path in (tmp_path / "copy").iterdir()] == ["emu"]
    assert list((tmp_path / "copy/emu/__pycache__").glob("a.*.pyc"))


@pytest.mark.parametrize("text", ["/no/such/directory", "{dir}:relative", "{dir}:/two\nlines"])
def test_a_bad_share_is_refused(text: str, tmp_path: Path) -> None:
    """A share names a directory here and an absolute path, in one line, there."""
    with pytest.raises(EmuError):
        Share.parse(text.format(dir=tmp_path))


def test_a_share_keeps_its_name(tmp_path: Path) -> None:
    """Without a second name a directory has the same one inside."""
    assert Share.parse(str(tmp_path)) == Share(tmp_path, str(tmp_path))
    assert Share.parse(f"{tmp_path}:/mnt") == Share(tmp_path, "/mnt")


def test_a_machine_of_less_boots_with_less(tmp_path: Path) -> None:
    """No Docker is started where no pod needs one, and none is waited for; without swap its line in fstab is void."""
    image, disk = GuestImage(tmp_path / "image", python="3.11"), [Disk(tmp_path / "root.ext4")]
    small = Machine(swap_bytes=0)
    words = qemu_command_line(image, accelerator.TCG, small, disk, {}, [], tmp_path / "console", docker=False)
    (append,) = options(words, "-append")
    assert {"systemd.mask=docker.service", "systemd.swap=no"} <= set(append.split())
    (tmp_path / "project").mkdir()
    write_job(tmp_path, Job(["true"], docker=False), keep_docker=False)
    assert (tmp_path / "no-docker").exists()


def test_standard_input_is_in_no_file(tmp_path: Path) -> None:
    """The command reads what QEMU hands over, and the job's disk does not hold it."""
    write_job(tmp_path, Job(["cat"], stdin=b"a secret"), keep_docker=False)
    script = (tmp_path / "command.sh").read_text()
    assert "modprobe qemu_fw_cfg" in script
    assert script.endswith(f"exec cat </sys/firmware/qemu_fw_cfg/by_name/{NAME}/raw\n")
    assert not [path for path in tmp_path.rglob("*") if path.is_file() and b"secret" in path.read_bytes()]


def test_emu_itself_is_copied_from_wherever_it_is_installed(tmp_path: Path) -> None:
    """Its packages, and what a checkout has beside them; nothing else that lies in the same folder."""
    for name in ("emu", "cgroups", "images", "another_package"):
        (tmp_path / "site" / name).mkdir(parents=True)
        (tmp_path / "site" / name / "a.py").write_text("1\n")
    copy_program(tmp_path / "site", tmp_path / "copy", python="0.0")
    assert sorted(path.name for path in (tmp_path / "copy").iterdir()) == ["cgroups", "emu", "images"]


class FakeGuest:
    """The far ends of a guest's serial ports, and a process in QEMU's place."""

    def __init__(self, scratch: Path) -> None:
        self.scratch = scratch
        pairs = {name: socket.socketpair() for name in PORTS}
        self.near = {name: near for name, (near, _far) in pairs.items()}
        self.far = {name: far for name, (_near, far) in pairs.items()}
        self.process = subprocess.Popen(["sleep", "600"])

    def say(self, port: str, text: str) -> None:
        """As the guest would on that port."""
        self.far[port].sendall(text.encode())

    def die(self) -> None:
        """As when its kernel panics: the process is gone, and so are its ends."""
        self.process.kill()
        for end in self.far.values():
            end.close()

    def listen(self, *, boot_s: float = 120.0, timeout_s: float | None = 120.0) -> Outcome:
        """What a run does once QEMU has been started."""
        return Listener(self.process, self.near, boot_s, timeout_s, self.scratch).serve()

    def close(self) -> None:
        """Leave nothing."""
        self.process.kill()
        self.process.wait()
        for end in [*self.near.values(), *self.far.values()]:
            end.close()


@pytest.fixture
def guest(tmp_path: Path) -> Iterator[FakeGuest]:
    """A fake guest, ended afterwards."""
    fake = FakeGuest(tmp_path)
    yield fake
    fake.close()


def test_the_status_comes_by_its_own_port(guest: FakeGuest, capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    """The job's two outputs go to ours, even where the status overtook them; they are never taken for it."""
    guest.say("emu.out", "1.0 exit 3\n")
    guest.say("emu.status", "20.0 ready\n21.5 ex")
    guest.say("emu.status", "it 7\n")
    guest.say("emu.err", "late words\n")
    assert guest.listen().status == 7
    assert capfdbinary.readouterr() == (b"1.0 exit 3\n", b"late words\n")


def test_a_panic_is_reported_with_the_consoles_end(guest: FakeGuest) -> None:
    """A guest that ended without a status failed; the kernel's own reason heads the error."""
    (guest.scratch / "console.log").write_text("[ 1.0] Kernel panic - not syncing: Out of luck\n[ 1.1] trace\n")
    guest.die()
    with pytest.raises(GuestError, match="its kernel panicked: Out of luck") as failed:
        guest.listen()
    assert "[ 1.1] trace" in failed.value.why
    assert failed.value.exit_status == 125


def test_what_failed_in_the_guest_is_named(guest: FakeGuest) -> None:
    """run.sh says which step it could not do."""
    guest.say("emu.status", "30.0 failed docker.service\n")
    with pytest.raises(GuestError, match=r"docker\.service failed in it"):
        guest.listen()


def test_a_boot_has_a_deadline(guest: FakeGuest) -> None:
    """A guest that says nothing is given up, and the error names the option that allows more."""
    with pytest.raises(GuestError, match="--boot-deadline"):
        guest.listen(boot_s=0.2)


def test_a_job_has_a_deadline(guest: FakeGuest) -> None:
    """A job that has not ended in time is given up."""
    guest.say("emu.status", "30.0 ready\n")
    with pytest.raises(GuestError, match="--timeout"):
        guest.listen(timeout_s=0.2)


def test_scratch_of_a_killed_run_is_swept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A new run removes what a killed one left, and leaves alone what a living one uses."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    left = disks.cache_directory() / "scratch" / "run-killed"
    left.mkdir(parents=True)
    with scratch_directory() as living:
        assert not left.exists()
        with scratch_directory():
            assert living.exists()
    assert not living.exists()


def test_kvm_is_not_believed_without_a_boot(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A kernel that does not get through its boot in time means TCG; it is tried once per kernel."""
    tried: list[Path] = []

    def boots(kernel: Path, *, deadline_s: float) -> bool:
        tried.append(kernel)
        return kernel.name == "good"

    monkeypatch.setattr(accelerator, "kvm_boots", boots)
    monkeypatch.setattr("os.access", lambda *_: True)

    def ask(name: str) -> tuple[str, ...]:
        return accelerator.accelerator(Path(name), tmp_path / "memory")

    assert ask("bad") == accelerator.TCG
    assert ask("bad") == accelerator.TCG
    assert tried == [Path("bad")]
    assert ask("good") == accelerator.KVM
