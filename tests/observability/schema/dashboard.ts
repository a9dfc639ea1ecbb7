// A dashboard of these panels, as Grafana's published types have it. Everything may be left out, nothing
// may be misspelt: JSON has no enumerations, so their members count by their values.
import type {
    AnnotationQuery, Dashboard, FieldConfig, FieldConfigSource, Panel, RowPanel,
} from "@grafana/schema/dist/esm/raw/dashboard/x/dashboard_types.gen";
import type { GraphFieldConfig, TableFieldOptions } from "@grafana/schema";
import type { PrometheusDataQuery } from "@grafana/schema/dist/esm/raw/composable/prometheus/dataquery/x/PrometheusDataQuery_types.gen";
import type { Options as BarGauge } from "@grafana/schema/dist/esm/raw/composable/bargauge/panelcfg/x/BarGaugePanelCfg_types.gen";
import type { Options as Gauge } from "@grafana/schema/dist/esm/raw/composable/gauge/panelcfg/x/GaugePanelCfg_types.gen";
import type { FieldConfig as HeatmapField, Options as Heatmap } from "@grafana/schema/dist/esm/raw/composable/heatmap/panelcfg/x/HeatmapPanelCfg_types.gen";
import type { Options as Stat } from "@grafana/schema/dist/esm/raw/composable/stat/panelcfg/x/StatPanelCfg_types.gen";
import type { FieldConfig as StateField, Options as State } from "@grafana/schema/dist/esm/raw/composable/statetimeline/panelcfg/x/StateTimelinePanelCfg_types.gen";
import type { Options as Table } from "@grafana/schema/dist/esm/raw/composable/table/panelcfg/x/TablePanelCfg_types.gen";
import type { Options as TimeSeries } from "@grafana/schema/dist/esm/raw/composable/timeseries/panelcfg/x/TimeSeriesPanelCfg_types.gen";

type Plain<T> = T extends string ? `${T}`
    : T extends number | boolean | null | undefined ? T
    : T extends (infer Item)[] ? Plain<Item>[]
    : T extends object ? { [Key in keyof T]?: Plain<T[Key]> }
    : T;

type Shows<Kind extends string, Options, Custom> =
    Omit<Plain<Panel>, "type" | "options" | "targets" | "fieldConfig"> & {
        type: Kind;
        options: Plain<Options>;
        targets: Plain<PrometheusDataQuery>[];
        fieldConfig: {
            defaults: Omit<Plain<FieldConfig>, "custom"> & { custom?: Plain<Custom> };
            overrides: Plain<FieldConfigSource>["overrides"];
        };
    };

type Nothing = Record<string, never>;

// What the Prometheus data source reads of an annotation beside what all have.
type Mark = Plain<AnnotationQuery> & { expr: string; tagKeys?: string; textFormat?: string; titleFormat?: string };

export type Board = Omit<Plain<Dashboard>, "panels" | "annotations"> & {
    annotations: { list: Mark[] };
    panels: (
        | (Plain<RowPanel> & { type: "row" })
        | Shows<"bargauge", BarGauge, Nothing>
        | Shows<"gauge", Gauge, Nothing>
        | Shows<"heatmap", Heatmap, HeatmapField>
        | Shows<"stat", Stat, Nothing>
        | Shows<"state-timeline", State, StateField>
        | Shows<"table", Table, TableFieldOptions>
        | Shows<"timeseries", TimeSeries, GraphFieldConfig>
    )[];
};
