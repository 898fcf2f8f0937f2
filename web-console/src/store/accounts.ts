import type { Account } from '../contract'

/** Whether every record read has ended somewhere. */
export function balances({ read, accepted, duplicate, late, dead_letter }: Account): boolean {
  return read === accepted + duplicate + late + dead_letter
}

export function total(accounts: readonly Account[]): Account {
  const sum: Account = { read: 0, accepted: 0, duplicate: 0, late: 0, dead_letter: 0 }
  for (const account of accounts)
    for (const outcome of Object.keys(sum) as (keyof Account)[]) sum[outcome] += account[outcome]
  return sum
}
