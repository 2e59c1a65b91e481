"""Vietnamese names, places and the ways in which people write their phone numbers."""

from __future__ import annotations

# Family names with their rough share of the people, in percent.
FAMILY_NAMES = (
    ("Nguyễn", 38), ("Trần", 11), ("Lê", 10), ("Phạm", 7), ("Hoàng", 3), ("Huỳnh", 3), ("Phan", 5),
    ("Vũ", 2), ("Võ", 2), ("Đặng", 2), ("Bùi", 2), ("Đỗ", 2), ("Hồ", 2), ("Ngô", 2), ("Dương", 1),
    ("Lý", 1), ("Trương", 2), ("Đinh", 1), ("Mai", 1), ("Tạ", 1), ("Lương", 1), ("Quách", 1),
)  # fmt: skip
FEMALE_MIDDLE_NAMES = (
    "Thị", "Thị Minh", "Thị Thu", "Thị Ngọc", "Ngọc", "Thanh", "Bảo", "Kim", "Phương", "Khánh",
)  # fmt: skip
FEMALE_GIVEN_NAMES = (
    "Anh", "Hương", "Lan", "Linh", "Mai", "Ngân", "Nhung", "Oanh", "Phượng", "Quỳnh", "Thảo",
    "Thủy", "Trang", "Trâm", "Uyên", "Vân", "Yến", "Hạnh", "Diễm", "Giang",
)  # fmt: skip
MALE_MIDDLE_NAMES = (
    "Văn", "Hữu", "Đức", "Quốc", "Minh", "Công", "Đình", "Xuân", "Anh", "Thành",
)  # fmt: skip
MALE_GIVEN_NAMES = (
    "Bình", "Cường", "Dũng", "Đạt", "Hải", "Hiếu", "Hùng", "Khoa", "Long", "Nam", "Phong", "Phúc",
    "Quân", "Sơn", "Thắng", "Tiến", "Trung", "Tuấn", "Việt", "Vinh",
)  # fmt: skip

# The city as people write it, with the CDP's code of the place.
CITIES = (
    ("Hồ Chí Minh", "VN-SG"), ("TP.HCM", "VN-SG"), ("Ho Chi Minh", "VN-SG"), ("Hà Nội", "VN-HN"),
    ("Hanoi", "VN-HN"), ("Đà Nẵng", "VN-DN"), ("Cần Thơ", "VN-CT"), ("Hải Phòng", "VN-HP"),
    ("Huế", "VN-26"), ("Nha Trang", "VN-34"), ("Biên Hòa", "VN-39"), ("Đà Lạt", "VN-35"),
    ("Vũng Tàu", "VN-43"), ("Quy Nhơn", "VN-31"), ("Buôn Ma Thuột", "VN-33"),
)  # fmt: skip

# Prefixes of Vietnamese mobile numbers, without the leading 0.
MOBILE_PREFIXES = (
    "90", "91", "93", "94", "96", "97", "98", "86", "88", "39", "70", "76", "77", "79", "32", "38",
)  # fmt: skip
# `a`, `b` and `c` are the nine digits after the 0 in groups of 2, 3 and 4, or as one number `n`.
PHONE_FORMS = (
    "+84{n}", "0{n}", "0{n}", "0{a} {b} {c}", "0{a}.{b}.{c}", "0{a}-{b}-{c}", "+84 {a} {b} {c}",
    "(+84) {a} {b} {c}", "84{n}", "+84 (0){a} {b} {c}",
)  # fmt: skip
