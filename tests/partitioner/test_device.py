"""What a device says of itself, and the processor class under every limit of ONEDNN_MAX_CPU_ISA."""

import pytest

from suture_partitioner.device import class_of, device_fingerprint, effective_isa, isa_flags, processor_class

SAPPHIRE = (
    "model name : Xeon\nflags : sse4_1 avx2 avx_vnni avx512f avx512_vnni avx512_bf16 avx512_fp16 amx_int8 amx_bf16"
)
CASCADE = "model name : Xeon Gold\nflags : sse4_1 avx2 avx512f avx512_vnni"
ALDER = "model name : Core i5-1240P\nflags\t\t: avx2 avx_vnni"
HASWELL = "model name\t: Core i7-4770\nflags : sse4_1 avx avx2 fma"
PI_5 = "processor : 0\nFeatures : fp asimd evtstrm asimddp\nCPU part : 0xd0b\nModel : Raspberry Pi 5 Model B Rev 1.0"
PI_4 = "processor : 0\nFeatures : fp asimd evtstrm crc32\nCPU implementer : 0x41\nCPU part : 0xd08"


@pytest.mark.parametrize(
    ("cpuinfo", "expected"),
    [
        (SAPPHIRE, "vnni"),
        (CASCADE, "vnni"),
        (ALDER, "vnni"),
        (HASWELL, "plain"),
        (PI_5, "vnni"),
        (PI_4, "plain"),
        ("", "plain"),
    ],
    ids=["sapphire-rapids", "cascade-lake", "alder-lake", "haswell", "pi-5", "pi-4", "unreadable"],
)
def test_the_class_follows_from_8_bit_dot_products(cpuinfo, expected):
    assert processor_class(cpuinfo, {}) == expected


@pytest.mark.parametrize(
    ("limit", "expected"),
    [
        ("SSE41", "plain"),
        ("AVX", "plain"),
        ("AVX2", "plain"),
        ("avx2", "plain"),
        ("AVX2_VNNI", "vnni"),
        ("AVX2_VNNI_2", "vnni"),
        ("AVX512_CORE", "plain"),
        ("AVX512_CORE_VNNI", "vnni"),
        ("AVX512_CORE_BF16", "vnni"),
        ("AVX512_CORE_FP16", "vnni"),
        ("AVX512_CORE_AMX", "vnni"),
        ("AVX512_CORE_AMX_FP16", "vnni"),
        ("AVX10_1_512_AMX", "vnni"),
        ("DEFAULT", "vnni"),
        ("ALL", "vnni"),
        ("", "vnni"),
        ("NONSENSE", "vnni"),
    ],
)
def test_a_limit_on_the_instruction_set_counts_as_the_processor(limit, expected):
    assert processor_class(SAPPHIRE, {"ONEDNN_MAX_CPU_ISA": limit}) == expected
    assert processor_class(SAPPHIRE, {"DNNL_MAX_CPU_ISA": limit}) == expected


def test_a_limit_adds_nothing_that_the_processor_lacks():
    assert processor_class(HASWELL, {"ONEDNN_MAX_CPU_ISA": "AVX512_CORE_AMX"}) == "plain"
    # AVX2_VNNI is another encoding than AVX-512 VNNI: a processor with only the latter is left with AVX2.
    assert processor_class(CASCADE, {"ONEDNN_MAX_CPU_ISA": "AVX2_VNNI"}) == "plain"


def test_the_x86_limit_does_not_touch_arm():
    assert effective_isa(isa_flags(PI_5), "AVX2") == isa_flags(PI_5)
    assert class_of(isa_flags(PI_5)) == "vnni"


def fake_root(tmp_path, cpuinfo, **files):
    (tmp_path / "proc").mkdir()
    (tmp_path / "proc/cpuinfo").write_text(cpuinfo)
    cpu = tmp_path / "sys/devices/system/cpu/cpu0"
    for name, text in files.items():
        path = cpu / {"governor": "cpufreq/scaling_governor", "throttles": "thermal_throttle/core_throttle_count"}[name]
        path.parent.mkdir(parents=True)
        path.write_text(text + "\n")
    return tmp_path


def test_the_fingerprint_names_what_times_depend_on(tmp_path):
    root = fake_root(tmp_path, ALDER, governor="powersave", throttles="7")
    device = device_fingerprint(root=root, environ={"ONEDNN_MAX_CPU_ISA": "AVX2"}, memory_bytes=17_000_000_000)
    assert device["cpu"] == "Core i5-1240P"
    assert device["isa"] == "avx2"
    assert device["processor_class"] == "plain"
    assert device["memory_gib"] == "16"
    assert device["governor"] == "powersave"
    assert device["throttled"] == "7"


@pytest.mark.parametrize(
    ("cpuinfo", "name"), [(PI_5, "Raspberry Pi 5 Model B Rev 1.0"), (PI_4, "CPU implementer 0x41 CPU part 0xd08")]
)
def test_arm_boards_are_named_by_what_the_kernel_says(tmp_path, cpuinfo, name):
    assert device_fingerprint(root=fake_root(tmp_path, cpuinfo), environ={})["cpu"] == name


def test_this_machine_can_be_fingerprinted_and_twice_alike():
    device = device_fingerprint()
    assert device["cpu"]
    assert int(device["cores"]) >= 1
    assert int(device["memory_gib"]) >= 0
    assert {**device_fingerprint(), "throttled": ""} == {**device, "throttled": ""}
    assert device["processor_class"] == processor_class()
