//! The plan of one quarter, in metres from its south-western corner; the community is rows of such quarters
//! with streets between. Drawn once by hand so that it looks like a place on a map.

use super::point::{Area, Spot};

/// A quarter with half of the streets around it.
pub(crate) const PITCH: Spot = Spot::metres(460, 370);

/// A building: what it is for, where, and how many floors.
pub(crate) struct Building {
    pub(crate) name: &'static str,
    pub(crate) chinese: &'static str,
    pub(crate) purpose: &'static str,
    pub(crate) area: Area,
    pub(crate) floors: i64,
}

const fn building(
    name: &'static str,
    chinese: &'static str,
    purpose: &'static str,
    area: Area,
    floors: i64,
) -> Building {
    Building { name, chinese, purpose, area, floors }
}

/// Where the residential slabs stand (their south-western corners) and their floors.
pub(crate) const SLABS: [(i64, i64, i64); 14] = [
    (60, 70, 11),
    (145, 70, 11),
    (255, 70, 11),
    (340, 70, 11),
    (60, 130, 11),
    (145, 130, 11),
    (255, 130, 11),
    (340, 130, 11),
    (50, 190, 17),
    (50, 240, 17),
    (50, 295, 17),
    (135, 295, 17),
    (255, 295, 17),
    (340, 295, 11),
];
/// A slab's width and depth.
pub(crate) const SLAB_SIZE: (i64, i64) = (62, 13);
/// How far along a slab's north side its units' doors are.
pub(crate) const UNIT_DOORS: [i64; 2] = [16, 46];

pub(crate) const BUILDINGS: [Building; 9] = [
    building("Shops west", "西侧商铺", "shops", Area::metres(50, 28, 150, 14), 2),
    building("Shops east", "东侧商铺", "shops", Area::metres(260, 28, 150, 14), 2),
    building("Property office", "物业服务中心", "office", Area::metres(236, 50, 18, 10), 2),
    building("Guard house", "门卫室", "guard", Area::metres(236, 24, 6, 5), 1),
    building("Kindergarten", "社区幼儿园", "school", Area::metres(345, 190, 60, 14), 3),
    building("Kindergarten hall", "幼儿园活动厅", "school", Area::metres(345, 204, 16, 30), 2),
    building("Gas regulator station", "燃气调压站", "utility", Area::metres(420, 40, 8, 6), 1),
    building("Pump room", "水泵房", "utility", Area::metres(28, 170, 9, 7), 1),
    building("Power room", "配电房", "utility", Area::metres(28, 182, 9, 7), 1),
];

/// A zone: name in both languages, class, and whether the public may be there.
pub(crate) struct Zone {
    pub(crate) name: &'static str,
    pub(crate) chinese: &'static str,
    pub(crate) class: &'static str,
    pub(crate) public: bool,
    pub(crate) calendar: &'static str,
    pub(crate) area: Area,
}

const fn zone(
    name: &'static str,
    chinese: &'static str,
    class: &'static str,
    public: bool,
    calendar: &'static str,
    area: Area,
) -> Zone {
    Zone { name, chinese, class, public, calendar, area }
}

pub(crate) const ZONES: [Zone; 16] = [
    zone("Central park", "中心公园", "park", true, "always", Area::metres(140, 190, 180, 78)),
    zone("Pond", "景观水池", "water", false, "always", Area::metres(158, 212, 62, 34)),
    zone("Playground", "儿童游乐场", "playground", true, "daytime", Area::metres(250, 205, 42, 34)),
    zone("South gate", "南门", "gate", true, "always", Area::metres(210, 16, 40, 22)),
    zone("North gate", "北门", "gate", true, "always", Area::metres(215, 334, 30, 20)),
    zone("West service gate", "西侧服务门", "gate", true, "working_hours", Area::metres(14, 150, 22, 18)),
    zone("Underground garage", "地下车库", "garage", true, "always", Area::metres(60, 88, 340, 38)),
    zone("South court", "南侧庭院", "green", true, "always", Area::metres(60, 96, 150, 26)),
    zone("South-east court", "东南庭院", "green", true, "always", Area::metres(255, 96, 150, 26)),
    zone("West court", "西侧庭院", "green", true, "always", Area::metres(50, 212, 62, 22)),
    zone("North court", "北侧绿地", "green", true, "always", Area::metres(130, 274, 190, 16)),
    zone("Shopping street", "沿街商铺", "shops", true, "shopping_hours", Area::metres(44, 20, 160, 24)),
    zone(
        "Shopping street east",
        "沿街商铺东段",
        "shops",
        true,
        "shopping_hours",
        Area::metres(256, 20, 160, 24),
    ),
    zone("Kindergarten grounds", "幼儿园", "school", false, "school_hours", Area::metres(340, 186, 72, 62)),
    zone("Gas station (key area)", "燃气重点区域", "key", false, "staff_only", Area::metres(416, 36, 16, 14)),
    zone(
        "Plant rooms (key area)",
        "设备房重点区域",
        "key",
        false,
        "staff_only",
        Area::metres(24, 168, 18, 24),
    ),
];

/// A road: name in both languages, class, width, and its line.
pub(crate) struct Road {
    pub(crate) name: &'static str,
    pub(crate) chinese: &'static str,
    pub(crate) class: &'static str,
    pub(crate) width: i64,
    pub(crate) line: &'static [(i64, i64)],
}

const fn road(
    name: &'static str,
    chinese: &'static str,
    class: &'static str,
    width: i64,
    line: &'static [(i64, i64)],
) -> Road {
    Road { name, chinese, class, width, line }
}

pub(crate) const ROADS: [Road; 12] = [
    road("Lakeside Road", "湖滨路", "street", 14, &[(0, 4), (460, 4)]),
    road("Osmanthus Road", "桂花路", "street", 12, &[(4, 0), (4, 370)]),
    road("Camphor Road", "香樟路", "street", 12, &[(456, 0), (456, 370)]),
    road("Willow Road", "杨柳路", "street", 10, &[(0, 366), (460, 366)]),
    road("Main avenue", "中央大道", "drive", 7, &[(230, 4), (230, 182)]),
    road("North avenue", "北大道", "drive", 6, &[(230, 274), (230, 366)]),
    road(
        "Ring drive",
        "环路",
        "drive",
        6,
        &[(40, 56), (412, 56), (418, 62), (418, 318), (412, 324), (46, 324), (40, 318), (40, 56)],
    ),
    road("Middle drive", "中环路", "drive", 5, &[(40, 166), (4, 160)]),
    road("Cross drive", "横路", "drive", 5, &[(40, 178), (418, 178)]),
    road("Garage ramp west", "车库西坡道", "service", 5, &[(40, 107), (60, 107)]),
    road("Garage ramp east", "车库东坡道", "service", 5, &[(418, 107), (400, 107)]),
    road(
        "Park path",
        "园中小径",
        "path",
        2,
        &[(230, 178), (226, 196), (236, 210), (244, 226), (238, 244), (228, 256), (230, 274)],
    ),
];

/// A gate: name, whether vehicles pass, where its barrier or door is.
pub(crate) struct Gate {
    pub(crate) name: &'static str,
    pub(crate) vehicles: bool,
    pub(crate) spot: Spot,
}

pub(crate) const GATES: [Gate; 7] = [
    Gate { name: "gate-s", vehicles: false, spot: Spot::metres(238, 18) },
    Gate { name: "gate-n", vehicles: false, spot: Spot::metres(236, 350) },
    Gate { name: "gate-w", vehicles: false, spot: Spot::metres(18, 160) },
    Gate { name: "barrier-s", vehicles: true, spot: Spot::metres(229, 18) },
    Gate { name: "barrier-n", vehicles: true, spot: Spot::metres(229, 350) },
    Gate { name: "ramp-w", vehicles: true, spot: Spot::metres(58, 107) },
    Gate { name: "ramp-e", vehicles: true, spot: Spot::metres(402, 107) },
];

/// Cameras over public ground: name, floor, where, and where they look (a direction by the compass, 0-7).
pub(crate) const PUBLIC_CAMERAS: [(&str, i64, (i64, i64), u8); 22] = [
    ("park-1", 1, (150, 200), 1),
    ("park-2", 1, (306, 256), 5),
    ("pond", 1, (190, 250), 4),
    ("playground-1", 1, (252, 207), 1),
    ("playground-2", 1, (290, 237), 5),
    ("avenue-1", 1, (226, 66), 0),
    ("avenue-2", 1, (234, 150), 4),
    ("avenue-n", 1, (226, 300), 0),
    ("ring-sw", 1, (42, 58), 1),
    ("ring-se", 1, (416, 58), 7),
    ("ring-ne", 1, (416, 322), 5),
    ("ring-nw", 1, (42, 322), 3),
    ("cross-e", 1, (410, 176), 6),
    ("shops-1", 1, (110, 22), 2),
    ("shops-2", 1, (330, 22), 6),
    ("court-s", 1, (135, 110), 2),
    ("court-n", 1, (325, 280), 6),
    ("school", 1, (342, 236), 1),
    ("garage-1", -1, (90, 107), 2),
    ("garage-2", -1, (170, 107), 2),
    ("garage-3", -1, (290, 107), 6),
    ("garage-4", -1, (370, 107), 6),
];

/// Panic buttons on public ground.
pub(crate) const PUBLIC_BUTTONS: [(&str, (i64, i64)); 6] = [
    ("sos-gate-s", (240, 22)),
    ("sos-gate-n", (240, 346)),
    ("sos-playground", (270, 206)),
    ("sos-park", (200, 256)),
    ("sos-shops", (112, 26)),
    ("sos-school", (362, 236)),
];

/// Patrol routes: name in both languages, class, and their checkpoints.
pub(crate) struct Route {
    pub(crate) name: &'static str,
    pub(crate) chinese: &'static str,
    pub(crate) class: &'static str,
    pub(crate) slots: &'static [u8],
    pub(crate) stops: &'static [(i64, i64)],
}

pub(crate) const ROUTES: [Route; 2] = [
    Route {
        name: "perimeter",
        chinese: "外围路线",
        class: "normal",
        slots: &[9, 20],
        stops: &[(238, 24), (50, 58), (22, 160), (46, 318), (236, 344), (414, 318), (414, 176), (410, 60)],
    },
    Route {
        name: "key areas",
        chinese: "重点区域路线",
        class: "key",
        slots: &[1, 5, 9, 13, 17, 21],
        stops: &[(422, 48), (370, 107), (200, 107), (36, 176), (270, 222), (362, 240)],
    },
];
