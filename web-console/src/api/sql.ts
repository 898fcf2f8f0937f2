import { ask, post, type Answer } from './get'

/** Rows shown at most; the server cuts the rest off and says so. */
export const MOST_ROWS = 1_000

/** `POST /api/v1/sql` with `Accept: application/json`. */
export interface Rows {
  columns: { name: string; type: string }[]
  rows: Record<string, unknown>[]
  row_count: number
  truncated: boolean
}

export interface CatalogTable {
  name: string
  columns: { name: string; type: string; nullable: boolean }[]
}

export interface SavedQuery {
  name: string
  title: string
  sql: string
}

export const runSql = (sql: string, signal: AbortSignal): Promise<Answer<Rows>> =>
  post<Rows>('/api/v1/sql', { sql, limit: MOST_ROWS }, signal)
export const fetchCatalog = (): Promise<Answer<CatalogTable[]>> => ask<CatalogTable[]>('/api/v1/catalog')
export const fetchSaved = (): Promise<Answer<SavedQuery[]>> => ask<SavedQuery[]>('/api/v1/queries')
