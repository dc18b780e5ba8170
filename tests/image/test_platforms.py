"""The image of each platform: it starts, takes mail and delivers it, and goes on after a restart."""

import os
import shutil

import pytest

from harness.certificates import self_signed
from harness.daemon import ROOT
from harness.sink import Sink
from harness.sink_rules import Rule
from tests.endtoend.mails import HARD
from tests.endtoend.world import TO, received
from tests.image.buildah import TAG, disk_usage
from tests.image.container import USER, Container
from tests.image.platforms import BUILT_TWICE, PLATFORMS
from tests.systemd.debian import SOURCE

MEGABYTE = 1_000_000
LIBRARIES = {
    "amd64": "x86_64-linux-gnu",
    "arm64": "aarch64-linux-gnu",
    "armhf": "arm-linux-gnueabihf",
    "i386": "i386-linux-gnu",
}


@pytest.fixture
def architecture(request):
    """Return the name of the architecture that the test is about."""
    return request.node.callspec.params["platform_image"]


def test_mail_waits_over_a_restart_and_is_delivered(platform_image, architecture, dns, tmp_path, capsys):
    image = platform_image
    # Not in a mount, because buildah may then also mount the image's own volume over the queue of this test.
    certificate, key = self_signed(["mail.example.org"]).write(image.root / "srv")
    os.chown(key, USER, 0)

    with Sink() as sink:

        def relay():
            settings = {"DNS_SERVERS": dns.setting, "SMTPPORTOUT": str(sink.port), "RETRY_SCHEDULE": "F,1h,30m"}
            settings |= {"PRIVATE_DESTINATIONS": "allow", "DNSSEC": "libunbound"}
            settings |= {"CERTIFICATE_PATH": f"/srv/{certificate.name}", "KEY_PATH": f"/srv/{key.name}"}
            home = tmp_path / "relay"
            return Container(image.buildah, image.container, home, start=image.start, **settings)

        sink.rules.append(Rule("RCPT", "451 4.3.0 come back"))
        with relay() as container:
            asked = container.run("python3", "-c", "import sysconfig; print(sysconfig.get_config_var('MULTIARCH'))")
            assert asked.stdout.strip() == LIBRARIES[architecture]
            with container.client() as client:
                client.starttls()
                client.sendmail("a@sender.test", [TO], HARD)
            container.wait_for_events("deferred")
            health = container.run("smtprelay", "health")
            assert health.returncode == 0, health.stderr
        sink.rules.clear()
        with relay() as successor:
            (message,) = received(sink)
            successor.wait_until_empty()
        assert message.without_trace == HARD
    with capsys.disabled():
        whole, base = (disk_usage(folder) / MEGABYTE for folder in (image.root, image.base))
        print(f"\n{architecture}: {whole:.1f} MB, of which {base:.1f} MB are the base: {image.buildah.layers(TAG)}")


def test_a_second_build_has_the_same_layers(platform_image, architecture, tmp_path):
    if architecture not in BUILT_TWICE:
        pytest.skip(f"only {' and '.join(BUILT_TWICE)} are built twice")
    image = platform_image
    first = image.buildah.layers(TAG)
    image.buildah.build(copy_of_the_source(tmp_path / "source"), PLATFORMS[architecture], **image.arguments)
    assert image.buildah.layers(TAG) == first


def copy_of_the_source(folder):
    """Return a folder with all files of which the image is made, with the times of now."""
    for name in ("Dockerfile", ".dockerignore", *SOURCE):
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, folder / name, copy_function=shutil.copyfile)
        else:
            folder.mkdir(exist_ok=True)
            shutil.copyfile(ROOT / name, folder / name)
    return folder
